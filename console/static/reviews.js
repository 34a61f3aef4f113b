// The list of what waits: move by keys, take the next.

import { ask, doing, writing } from "./console.js";

const next = document.getElementById("next");
const rows = [...document.querySelectorAll("#cases tbody tr")];
let at = -1;

function select(index) {
  rows[at]?.removeAttribute("aria-selected");
  at = Math.max(0, Math.min(rows.length - 1, index));
  rows[at]?.setAttribute("aria-selected", "true");
  rows[at]?.querySelector("a").focus();
}

next?.addEventListener("click", () =>
  doing(next, async () => {
    await ask("POST", `/v1/reviews/${next.dataset.decision}/claim`, { json: { minutes: 30 } });
    location.assign(`/console/reviews/${next.dataset.decision}`);
  }));
document.addEventListener("keydown", (event) => {
  if (writing(event)) return;
  if (event.key === "n" && next && !next.disabled) next.click();
  if (event.key === "j") select(at + 1);
  if (event.key === "k") select(at - 1);
});
