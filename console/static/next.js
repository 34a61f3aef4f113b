// Taking the next that waits: claim it, and go there.

import { ask, doing, writing } from "./console.js";

/** Let a button, and the key `n`, take the case that it names. */
export function taking(button) {
  if (!button) return;
  button.addEventListener("click", () =>
    doing(button, async () => {
      await ask("POST", `/v1/reviews/${button.dataset.decision}/claim`, { json: { minutes: 30 } });
      location.assign(`/console/reviews/${button.dataset.decision}`);
    }));
  document.addEventListener("keydown", (event) => {
    if (!writing(event) && event.key === "n" && !button.disabled) button.click();
  });
}
