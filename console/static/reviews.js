// The list of what waits: move by keys, take the next.

import { writing } from "./console.js";
import { taking } from "./next.js";

const rows = [...document.querySelectorAll("#cases tbody tr")];
let at = -1;

function select(index) {
  rows[at]?.removeAttribute("aria-selected");
  at = Math.max(0, Math.min(rows.length - 1, index));
  rows[at]?.setAttribute("aria-selected", "true");
  rows[at]?.querySelector("a").focus();
}

taking(document.getElementById("next"));
document.addEventListener("keydown", (event) => {
  if (writing(event)) return;
  if (event.key === "j") select(at + 1);
  if (event.key === "k") select(at - 1);
});
