// Compliance: erase a subject, set and lift holds, export.

import { ask, askJson, doing, element, fill, notice, wordsIn } from "./console.js";
import { keep } from "./files.js";

const words = wordsIn("page-words");
const byId = (id) => document.getElementById(id);
const given = (form) => Object.fromEntries([...new FormData(form)].filter(([, value]) => value));

/** Ask in a dialog; whether the answer was yes. */
function asked(dialog) {
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function save(content, name) {
  const link = element("a", [], { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

byId("erase")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, button = event.submitter;
  byId("sure-subject").textContent = form.subject.value;
  if (!(await asked(byId("sure")))) return;
  doing(button, async () => {
    const found = await askJson("POST", "/v1/erasures", { json: given(form) });
    const keep = element("button", words.certificate, { type: "button" });
    keep.addEventListener("click", () => save(new Blob([found.certificate], { type: "text/plain" }), `erasure-${found.entry}.txt`));
    byId("erased").replaceChildren(
      element("p", [fill(words.erased, found), " ", element("a", fill(words.entry, found), { href: `/console/decisions/${found.entry}` })],
        { class: `notice ${found.overwritten ? "good" : "warn"}` }),
      ...(found.overwritten ? [] : [element("p", fill(words.not_overwritten, found))]), keep);
    form.reset();
  });
});
byId("hold")?.addEventListener("submit", (event) => {
  event.preventDefault();
  doing(event.submitter, async () => {
    await ask("POST", "/v1/holds", { json: given(event.target) });
    location.reload();
  });
});
for (const button of document.querySelectorAll("[data-lift]")) {
  button.addEventListener("click", async () => {
    if (!(await asked(byId("lift")))) return;
    doing(button, async () => {
      await ask("POST", `/v1/holds/${encodeURIComponent(button.dataset.lift)}/lift`, { json: { reason: byId("lift-reason").value } });
      location.reload();
    });
  });
}
byId("export")?.addEventListener("submit", (event) => {
  event.preventDefault();
  doing(event.submitter, async () => {
    const answer = await ask("POST", "/v1/exports", { json: given(event.target) });
    await keep(answer, "genguard");
    notice(fill(words.exported, { count: answer.headers.get("x-genguard-count"), entry: answer.headers.get("x-genguard-export") }));
  });
});
