// One decision: revealing its content, proving it, deciding it again, feedback, the bundle.

import { ask, askJson, doing, element, fill, notice, wordsIn } from "./console.js";
import { part } from "./content.js";
import { keep } from "./files.js";
import { prove } from "./prove.js";

const words = wordsIn("page-words");
const given = wordsIn("given");
const api = `/v1/decisions/${given.decision}`;

function on(id, work) {
  const button = document.getElementById(id);
  button?.addEventListener("click", () => doing(button, () => work(button)));
}

/** Reveal the content, which is recorded first; the reason stays in the dialog when that fails. */
async function reveal(button) {
  const form = document.getElementById("reveal-form");
  if (!form.reportValidity()) return;
  const asked = new URLSearchParams({ reason: document.getElementById("reveal-reason").value });
  if (button.dataset.break) asked.set("break_glass", "true");
  const told = await askJson("GET", `${api}/content?${asked}`);
  const seen = new Set();
  const parts = [];
  for (const one of told.content) {
    const known = JSON.stringify([one.text, one.base64, one.why]);
    if (seen.has(known)) continue;
    seen.add(known);
    parts.push(await part(one, one.part === "original" ? given.places : [], words));
  }
  document.getElementById("content").replaceChildren(...parts);
  document.getElementById("reveal-dialog").close();
  document.getElementById("reveal").remove();
  notice(fill(words.revealed, { entry: told.access }));
  document.getElementById("content").setAttribute("tabindex", "-1");
  document.getElementById("content").focus();
}

function step(name, good, values) {
  const [state, kind] = good === null ? [words.unknown, "warn"] : good ? [words.good, "good"] : [words.wrong, "bad"];
  const shown = element("li", [
    element("span", state, { class: `badge ${kind}` }), " ",
    element("strong", words[`proof_${name}`]), element("br"),
    element("span", fill(words[`proof_${name}_words`], values), { class: "small" }),
  ]);
  if (values.way?.length) {
    const way = element("ol", values.way.map((hash) => element("li", element("code", hash))), { class: "hashes" });
    shown.append(element("details", [element("summary", words.proof_way), way], { class: "small" }));
  }
  if (name === "signature") {
    const copy = element("button", words.copy_key, { type: "button", class: "quiet", "data-copy": values.key });
    shown.append(element("p", [words.proof_key, " ", element("code", values.key), " ", copy], { class: "small" }));
  }
  return shown;
}

async function verify() {
  const list = document.getElementById("proof");
  list.replaceChildren();
  if (!globalThis.crypto?.subtle) {
    list.append(element("li", words.proof_insecure, { class: "notice warn" }));
    return;
  }
  const proof = await (await ask("GET", `${api}/proof`)).text();
  const key = await (await ask("GET", "/v1/checkpoint/key")).text();
  const good = await prove(proof, key, given, (...told) => list.append(step(...told)));
  const [text, kind] = good ? [words.proof_good, "good"] : [words.proof_wrong, "bad"];
  list.append(element("li", element("strong", text), { class: `notice ${kind} result` }));
}

async function rederive() {
  const told = await askJson("GET", `${api}/rederivation`);
  const kind = told.same ? "good" : "bad";
  const text = told.same
    ? fill(words.same, { checks: told.checks, action: words[`action_${told.derived.action}`], rules: told.derived.rules.join(", ") || "–" })
    : fill(words.differs, { result: told.result });
  document.getElementById("rederived").replaceChildren(element("span", text, { class: `notice ${kind}` }));
}

const link = document.getElementById("copy-link");
link.dataset.copy = location.origin + link.dataset.copy;
on("reveal", async () => document.getElementById("reveal-dialog").showModal());
on("reveal-go", reveal);
on("verify", verify);
on("rederive", rederive);
on("bundle", async () => {
  const answer = await ask("POST", "/v1/exports", { json: { format: "bundle", q: `id:${given.decision}` } });
  await keep(answer, "genguard.zip");
  notice(fill(words.bundled, { entry: answer.headers.get("x-genguard-export") }));
});
document.getElementById("feedback")?.addEventListener("submit", (event) => {
  event.preventDefault();
  doing(event.submitter, async () => {
    const [code, comment] = ["feedback-code", "feedback-words"].map((id) => document.getElementById(id).value);
    const told = await askJson("POST", "/v1/feedback", { json: { decision: given.decision, code, comment } });
    event.target.replaceChildren(element("p", fill(words.said, { entry: told.entry }), { class: "notice good", role: "status" }));
  });
});
