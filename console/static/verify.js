// Verify: send a file or a text, and tell what the answer rests on.

import { askJson, doing, element, fill, localTimes, wordsIn } from "./console.js";

const words = wordsIn("page-words");
const byId = (id) => document.getElementById(id);
const file = byId("file"), text = byId("text"), drop = byId("drop"), preview = byId("preview");

export function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(words.unreadable));
    reader.readAsDataURL(blob);
  });
}

function show(title, kind, ...content) {
  byId("answer").dataset.kind = kind;
  byId("answer-title").textContent = title;
  byId("found").replaceChildren(...content);
}

function facts(entry) {
  const rows = [
    [words.decision, element("a", entry.decision, { href: `/console/decisions/${entry.decision}` })],
    [words.time, element("time", entry.time, { datetime: entry.time, title: `${entry.time} UTC`, "data-shape": "second" })],
    [words.made_by, [entry.generator, entry.model].filter(Boolean).join(", ")],
    [words.action, entry.action],
    [words.policy, fill(words.policy_of, entry)],
  ];
  return element("dl", rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]), { class: "facts" });
}

function rests(trace) {
  const chance = trace.chance ? " " + fill(words.chance, { times: Math.round(1 / trace.chance).toLocaleString() }) : "";
  return element("li", [trace.says, element("div", trace.confidence + "." + chance, { class: "soft small" })]);
}

function tell(report) {
  const kind = report.answer.split(",")[0];
  show(words[`answers.${report.answer}`] ?? report.answer, kind,
    element("p", report.words, { class: `notice ${{ ours: "good", tampered: "bad" }[kind] ?? "warn"}` }),
    ...(report.entry ? [facts(report.entry)] : []),
    element("h3", words.rests),
    element("ul", report.traces.map(rests)),
    ...report.notes.map((note) => element("p", fill(words.not_looked, { note }), { class: "soft small" })));
  localTimes(byId("found"));
}

function chosen(one) {
  preview.hidden = !one?.type.startsWith("image/");
  if (!preview.hidden) preview.src = URL.createObjectURL(one);
  if (one) text.value = "";
}

byId("asked").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!file.files.length && !text.value.trim()) {
    show(words.nothing, "unknown", element("p", words.choose, { class: "notice warn" }));
    (text.value ? text : file).focus();
    return;
  }
  show(words.wait, "", element("p", words.looking));
  doing(byId("go"), async () => {
    try {
      const one = file.files[0];
      const body = one ? { [one.type.startsWith("audio/") ? "audio" : "image"]: await base64(one) } : { text: text.value };
      tell(await askJson("POST", "/v1/verify", { json: body }));
    } catch (error) {
      show(words.no_answer, "unknown", element("p", error.message, { class: "notice bad" }));
    }
    byId("answer").focus();
  });
});
text.addEventListener("input", () => {
  if (!text.value) return;
  file.value = "";
  chosen(null);
});
file.addEventListener("change", () => chosen(file.files[0]));
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!event.dataTransfer.files.length) return;
  file.files = event.dataTransfer.files;
  chosen(file.files[0]);
});
