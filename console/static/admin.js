// Admin: make, rotate and revoke keys; verify the ledger.

import { ask, askJson, doing, element, notice, wordsIn } from "./console.js";

const words = wordsIn("page-words");
const byId = (id) => document.getElementById(id);
const ASK_MS = 1500;

/** A new key, shown this once. The page is not loaded anew meanwhile: the secret would be gone. */
function told(found) {
  const copy = element("button", words.copy, { type: "button", class: "quiet", "data-copy": found.key });
  const done = element("a", words.done, { href: "/console/admin", class: "button" });
  byId("made").replaceChildren(element("div", [element("p", words.once), element("p", [element("code", found.key), " ", copy]), done],
    { class: "notice warn" }));
  byId("made").scrollIntoView({ block: "center" });
}

byId("make")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const json = { name: form.get("name"), roles: form.getAll("roles"), tenant: form.get("tenant") };
  if (form.get("days")) json.days = Number(form.get("days"));
  if (!json.roles.length) return notice(words.no_role, "warn");
  return doing(event.submitter, async () => {
    told(await askJson("POST", "/v1/keys", { json }));
    event.target.reset();
  });
});
for (const button of document.querySelectorAll("[data-rotate]")) {
  button.addEventListener("click", () => doing(button, async () => told(await askJson("POST", `/v1/keys/${button.dataset.rotate}/rotate`, { json: {} }))));
}
for (const button of document.querySelectorAll("[data-revoke]")) {
  button.addEventListener("click", () => {
    const dialog = byId("revoke");
    byId("revoke-name").textContent = button.dataset.name;
    dialog.returnValue = "no";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") return;
      doing(button, async () => {
        await ask("POST", `/v1/keys/${button.dataset.revoke}/revoke`, { json: {} });
        location.reload();
      });
    }, { once: true });
  });
}

async function watch() {
  const found = await askJson("GET", "/v1/verification");
  if (found.running_since) setTimeout(watch, ASK_MS);
  else location.reload();
}

byId("verify-ledger").addEventListener("click", () => doing(byId("verify-ledger"), async () => {
  await ask("POST", "/v1/verification");
  byId("verified").prepend(element("p", words.running, { class: "notice" }));
  setTimeout(watch, ASK_MS);
}));
if (byId("verified").dataset.running) setTimeout(watch, ASK_MS);
