// An example that a review handed over (`sessionStorage`, this tab alone): offered once, and put beside its rule when it is wanted.

import { fill } from "../console.js";

const HANDED = "genguard-example";

/** Offer it, if one waits for this policy. `shown`: the notice; `take(change)`: changes the editor's text. */
export function offer(shown, policy, words, take) {
  const example = JSON.parse(sessionStorage.getItem(HANDED) ?? "null");
  if (!example || example.policy !== policy) return;
  const decision = (example.decision ?? "").slice(0, 8);
  shown.querySelector("span").textContent = fill(words.example, { rule: example.rule, decision });
  shown.hidden = false;
  const [insert, leave] = shown.querySelectorAll("button");
  const done = () => {
    sessionStorage.removeItem(HANDED);
    shown.hidden = true;
  };
  insert.addEventListener("click", () => {
    const line = take((text) => beside(text, example));
    if (line) done();
    else shown.querySelector("span").textContent = fill(words.no_rule, { rule: example.rule });
  });
  leave.addEventListener("click", done);
}

/** The text with the example among those of its rule, and its line; null when no rule of that id stands there. */
export function beside(text, { rule, kind, text: content, stage }) {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => new RegExp(`^\\s*- id: *["']?${rule}["']?\\s*(#.*)?$`).test(line));
  if (start < 0) return null;
  const indent = lines[start].indexOf("-");
  let end = start + 1;
  while (end < lines.length && (!lines[end].trim() || /^\s*/.exec(lines[end])[0].length > indent)) end += 1;
  while (!lines[end - 1].trim()) end -= 1;
  const pad = " ".repeat(indent + 2);
  const tests = lines.slice(start, end).findIndex((line) => line.startsWith(`${pad}tests:`));
  if (tests >= 0 && !/:\s*(#.*)?$/.test(lines[start + tests])) return null; // written in one line
  const item = /^(\s*)- /.exec(tests >= 0 ? lines[start + tests + 1] ?? "" : "");
  const inner = item ? item[1] : `${pad}  `;
  const made = [`${inner}- ${kind}: ${JSON.stringify(content)}`, ...(stage ? [`${inner}  stage: ${stage}`] : [])];
  if (tests < 0) made.unshift(`${pad}tests:`);
  const at = tests < 0 ? end : start + tests + 1;
  lines.splice(at, 0, ...made);
  return { text: lines.join("\n"), line: at + (tests < 0 ? 2 : 1) };
}
