// The workshop: one text, what is wrong with it, what it says, what it would have said, and its way into force.
// The text is kept in this browser until it is proposed or activated.

import { ask, askJson, AskError, doing, fill, notice, wordsIn } from "../console.js";
import { base64, either } from "../chosen.js";
import { Completion } from "./completion.js";
import { Editor } from "./editor.js";
import { offer } from "./example.js";
import { followed } from "./following.js";
import { badge, changes, problems, replayed, tests, tried, where } from "./results.js";

const LINT_MS = 400;
const words = wordsIn("page-words");
const root = document.getElementById("editor");
const given = root.querySelector("textarea").value;
const key = `genguard-draft:${root.dataset.user}:${root.dataset.policy}`;
const at = (id) => document.getElementById(id);
let completion = null;
let waiting = 0;
let linting = null;
let last = "";

const editor = new Editor(root, words, {
  complete: (text, offset) => completion?.at(text, offset) ?? { from: offset, choices: [] },
  changed: () => {
    keep();
    clearTimeout(waiting);
    waiting = setTimeout(lint, LINT_MS);
  },
});
const go = (line, column) => editor.go(line, column);

function draft() {
  return { source: editor.text };
}

// --- what this browser keeps -------------------------------------------------------------------------------------------

function keep() {
  try {
    if (editor.text === given) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify({ text: editor.text, base: root.dataset.base, time: new Date().toISOString() }));
    at("saved").textContent = editor.text === given ? "" : words.kept;
  } catch {
    at("saved").textContent = words.not_kept;
  }
}

function restore() {
  const kept = JSON.parse(localStorage.getItem(key) ?? "null");
  if (!kept || kept.text === given) return;
  const other = location.search && kept.base !== root.dataset.base;
  if (other) return; // somebody asked for another revision or pack than the draft began with
  editor.text = kept.text;
  const time = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  at("restored").querySelector("span").textContent = fill(words.restored, { time: time.format(new Date(kept.time)) });
  at("restored").hidden = false;
}

at("discard").addEventListener("click", () => {
  localStorage.removeItem(key);
  editor.text = given;
  at("restored").hidden = true;
  at("saved").textContent = "";
  lint();
});

// --- lint ---------------------------------------------------------------------------------------------------------------

async function lint() {
  linting?.abort();
  linting = new AbortController();
  const text = editor.text;
  if (!text.trim()) return;
  let found;
  try {
    found = await askJson("POST", "/v1/policies/lint", { json: { source: text }, signal: linting.signal });
  } catch (error) {
    if (error instanceof AskError) at("problems-told").textContent = error.message;
    else if (error.name !== "AbortError") throw error;
    return;
  }
  last = text;
  editor.mark(found.findings.filter((one) => one.file === "policy"));
  at("problems").replaceChildren(...problems(found.findings, go));
  const counts = { errors: found.errors, warnings: found.warnings, advice: found.advice };
  at("problems-told").textContent = found.findings.length ? fill(words.problems, counts) : words.no_problems;
  const kind = found.errors ? "bad" : found.warnings ? "warn" : "good";
  const state = found.errors ? words.state_errors : found.loaded ? fill(words.state_fine, { policy: found.policy, version: found.version }) : words.state_errors;
  at("state").replaceChildren(badge(state, kind));
  if (found.diff) at("changes").replaceChildren(...changes(found.diff));
}

// --- tests --------------------------------------------------------------------------------------------------------------

/** Long work that tells how far it is; returns its result. Throws AskError. */
async function streamed(url, json, progress, told, signal) {
  progress.hidden = false;
  progress.removeAttribute("value");
  try {
    const answer = await ask("POST", url, { json: { ...json, stream: true }, signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      rest += value ?? "";
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines.filter(Boolean).map((one) => JSON.parse(one))) {
        if (line.result) return line.result;
        if (line.error) throw new AskError(line.error.message, 500, line);
        progress.max = Math.max(1, line.progress.of);
        progress.value = line.progress.done;
        told?.(line.progress);
      }
      if (done) throw new AskError(words.broken_off, 0, null);
    }
  } finally {
    progress.hidden = true;
  }
}

/** Show what a draft that cannot be loaded says, in place of a result. */
async function shown(button, target, work) {
  await doing(button, async () => {
    try {
      target.replaceChildren(...(await work()).filter(Boolean));
    } catch (error) {
      if (!(error instanceof AskError) || error.status !== 422) throw error;
      target.replaceChildren(badge(words.state_errors, "bad"), ` ${error.message}`);
    }
  });
}

function test() {
  return shown(at("test"), at("tested"), async () => tests(await streamed("/v1/policies/test", draft(), at("test-progress")), go));
}

at("test").addEventListener("click", test);

async function save() {
  keep();
  at("saved").textContent = words.saved;
  if (editor.text !== last) await lint();
  await test();
}

at("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") {
    event.preventDefault();
    if (!at("test").disabled) save();
  }
});

// --- try and replay -----------------------------------------------------------------------------------------------------

either(at("try-file"), at("try-text"), at("try-drop"), at("try-preview"));

/** The content of the try box, as the service takes it. */
async function content(file, text) {
  if (!file) return { text };
  return { [file.type.startsWith("audio/") ? "audio" : "image"]: await base64(file, words.unreadable) };
}

at("try").addEventListener("submit", (event) => {
  event.preventDefault();
  const file = at("try-file").files[0], text = at("try-text").value;
  if (!file && !text) {
    notice(words.choose, "warn");
    at("try-text").focus();
    return;
  }
  shown(event.submitter ?? at("try").querySelector("button"), at("tried"), async () => {
    const about = { stage: at("try-stage").value, tenant: at("try-tenant").value, language: at("try-language").value };
    const found = await askJson("POST", "/v1/policies/try", { json: { ...draft(), ...(await content(file, text)), ...about } });
    return [...tried(found), ...(await where(found, file, text))];
  });
});

let replaying = null;

at("replay").addEventListener("submit", (event) => {
  event.preventDefault();
  replaying = new AbortController();
  at("replay-stop").hidden = false;
  const json = { ...draft(), q: at("replay-q").value, since: at("replay-since").value, examples: 20 };
  const told = (now) => {
    at("replay-told").textContent = fill(words.replaying, { done: now.decisions, flipped: now.flipped });
  };
  shown(event.submitter ?? at("replay").querySelector("button"), at("replayed"), async () => {
    const result = await streamed("/v1/policies/replay", json, at("replay-progress"), told, replaying.signal);
    at("replay-told").textContent = fill(words.replay_done, { filters: result.filters.join(" ") || words.everything, seconds: result.seconds });
    return replayed(result);
  }).finally(() => {
    at("replay-stop").hidden = true;
  });
});

at("replay-stop").addEventListener("click", () => {
  replaying?.abort();
  at("replay-told").textContent = words.stopped;
});

// --- into force ---------------------------------------------------------------------------------------------------------

function activation() {
  const dialog = at("activation");
  const way = () => dialog.querySelector("input[name=way]:checked").value;
  at("activate").addEventListener("click", () => {
    at("not-ready").hidden = true;
    dialog.showModal();
  });
  at("activation-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("change", () => {
    at("share-field").hidden = way() !== "canary";
    if (at("propose-field")) at("propose-field").hidden = way() === "shadow";
  });
  at("activation-share").addEventListener("input", () => {
    at("activation-share-told").textContent = `${at("activation-share").value} %`;
  });
  at("activation-form").addEventListener("submit", (event) => {
    event.preventDefault();
    doing(at("activation-do"), async () => {
      const json = { ...draft(), reason: at("activation-reason").value.trim(), shadow: way() === "shadow" };
      if (way() === "canary") Object.assign(json, { share: Number(at("activation-share").value), by: at("activation-by").value });
      if (way() !== "shadow" && at("activation-propose")?.checked) json.propose = true;
      if (at("activation-signature")) json.signature = at("activation-signature").value.replace(/\r\n/g, "\n");
      try {
        const answer = await askJson("POST", "/v1/policies/activate", { json });
        dialog.close();
        if (!answer.recorded) return notice(fill(words.nothing_recorded, { why: answer.why }), "warn");
        localStorage.removeItem(key);
        await followed(answer.state.policy, answer.state);
        location.assign(`/console/policies/${answer.state.policy}?entry=${answer.entry.index}`);
      } catch (error) {
        if (error.status !== 409 && error.status !== 422) throw error;
        refused(error);
      }
      return undefined;
    });
  });
}

function refused(error) {
  const lines = Object.values(error.body?.not_ready ?? {}).flat();
  const list = document.createElement("ul");
  for (const line of lines.slice(0, 8)) list.append(Object.assign(document.createElement("li"), { textContent: line }));
  at("not-ready").replaceChildren(error.message, list);
  at("not-ready").hidden = false;
}

if (at("activate")) activation();
restore();
lint();
offer(at("handed"), root.dataset.policy, words, (change) => {
  const made = change(editor.text);
  if (!made) return 0;
  editor.text = made.text;
  keep();
  lint();
  go(made.line, 1);
  return made.line;
});
askJson("GET", "/console/policies/hints.json").then((hints) => {
  completion = new Completion(hints);
  root.dataset.ready = "yes";
});
