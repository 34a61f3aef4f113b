// Steps of one policy's rollout: each asks why, is recorded, and is watched until this service follows it.

import { askJson, doing, fill, notice, wordsIn } from "../console.js";
import { followed } from "./following.js";

const words = wordsIn("page-words");
const policy = document.getElementById("policy").dataset.policy;
const dialog = document.getElementById("step");
const reason = document.getElementById("step-reason");
const range = document.getElementById("share");
let asked = null;

range?.addEventListener("input", () => {
  document.getElementById("share-told").textContent = `${range.value} %`;
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-step]");
  if (!button) return;
  asked = { step: button.dataset.step, revision: button.dataset.revision };
  const values = { policy, share: range?.value ?? "", before: document.getElementById("policy").dataset.before };
  document.getElementById("step-title").textContent = words[`${asked.step}.title`];
  document.getElementById("step-words").textContent = fill(words[`${asked.step}.words`], values);
  document.getElementById("step-do").textContent = words[`${asked.step}.title`];
  document.getElementById("step-do").className = ["rollback", "retire", "stop"].includes(asked.step) ? "danger" : "main";
  reason.required = asked.step !== "approve";
  reason.value = "";
  dialog.showModal();
  reason.focus();
});

document.getElementById("step-cancel").addEventListener("click", () => dialog.close());

document.getElementById("step-form").addEventListener("submit", (event) => {
  event.preventDefault();
  doing(document.getElementById("step-do"), async () => {
    const json = { reason: reason.value.trim() };
    if (asked.revision) json.revision = asked.revision;
    if (asked.step === "share") Object.assign(json, { share: Number(range.value), by: range.dataset.by });
    const answer = await askJson("POST", `/v1/policies/${policy}/${asked.step}`, { json });
    dialog.close();
    if (!answer.recorded) {
      notice(fill(words.nothing, { why: answer.why }), "warn");
      return;
    }
    notice(words.recorded, "good");
    await followed(policy, answer.state);
    location.reload();
  });
});
