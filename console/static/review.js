// One decision before a reviewer: reveal it, claim it, decide, and what can follow.

import { ask, askJson, doing, element, notice, wordsIn, writing } from "./console.js";
import { file, kept, played } from "./content.js";
import { taking } from "./next.js";

const words = wordsIn("page-words");
const byId = (id) => document.getElementById(id);
const desk = byId("desk");
const { decision, rule, stage } = desk.dataset;
const url = `/v1/reviews/${decision}`;
let text = null, looked = false;

async function step(button, name, json) {
  await doing(button, async () => {
    await ask("POST", `${url}/${name}`, { json });
    location.reload();
  });
}

function shown(one) {
  if (one.why) return element("p", one.why, { class: "notice warn" });
  if (one.text !== undefined) return element("pre", one.text, { class: "seen", tabindex: "0", "aria-label": words[`part.${one.part}`] ?? one.part });
  if (one.media_type.startsWith("audio/")) return played(one, words);
  if (!one.media_type.startsWith("image/")) return kept(one, file(one), words);
  return element("img", [], { src: file(one), class: "seen blur grey", tabindex: "-1", alt: words[`part.${one.part}`] ?? one.part });
}

async function reveal(form, button) {
  const asked = new URLSearchParams({ reason: byId("why").value, ...(form.dataset.break ? { break_glass: "true" } : {}) });
  const found = await askJson("GET", `/v1/decisions/${decision}/content?${asked}`);
  byId("content").replaceChildren(...found.content.flatMap((one) => [
    element("h3", words[`part.${one.part}`] ?? one.part), shown(one)]));
  soften();
  looked = true;
  text = found.content.find((one) => one.part === "original")?.text ?? null;
  if (text !== null && rule) document.querySelectorAll("[data-test]").forEach((one) => { one.disabled = false; });
  if (byId("test-hint")) byId("test-hint").hidden = text !== null;
  byId("content").querySelector(".seen")?.focus();
}

function soften() {
  for (const image of document.querySelectorAll("img.seen")) {
    image.classList.toggle("blur", byId("blur")?.checked ?? false);
    image.classList.toggle("grey", byId("grey")?.checked ?? false);
  }
}

function example(kind) {
  const where = stage === "prompt" ? "\n    stage: prompt" : "";
  const snippet = `tests:\n  - ${kind}: ${JSON.stringify(text)}${where}`;
  byId("snippet").textContent = `# ${rule}\n${snippet}`;
  byId("test-copy").dataset.copy = snippet;
  byId("test").hidden = false;
  sessionStorage.setItem("genguard-example", JSON.stringify({ policy: desk.dataset.policy, rule, kind, text, stage, decision }));
  byId("snippet").focus();
}

byId("reveal")?.addEventListener("submit", (event) => {
  event.preventDefault();
  doing(event.submitter ?? event.target.querySelector("button"), () => reveal(event.target));
});
for (const button of document.querySelectorAll("button[data-step]")) {
  button.addEventListener("click", () => step(button, button.dataset.step, button.dataset.step === "claim" ? { minutes: 30 } : undefined));
}
for (const form of document.querySelectorAll("form[data-step]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    step(event.submitter, form.dataset.step, Object.fromEntries(new FormData(form)));
  });
}
byId("decide")?.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!looked) notice(words.unseen, "warn");
  step(event.submitter, "decide", Object.fromEntries(new FormData(event.target)));
});
for (const button of document.querySelectorAll("[data-test]")) button.addEventListener("click", () => example(button.dataset.test));
taking(byId("next"));
for (const name of ["blur", "grey"]) byId(name)?.addEventListener("change", soften);
document.addEventListener("keydown", (event) => {
  if (writing(event)) return;
  if (event.key === "s" && byId("reveal")) byId("reveal").requestSubmit();
  if (event.key === "c") document.querySelector('button[data-step="claim"]')?.click();
  const outcome = { r: "release", w: "withhold" }[event.key];
  if (outcome) document.querySelector(`input[name="outcome"][value="${outcome}"]`)?.click();
});
