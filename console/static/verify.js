// Verify: send a file or a text, and tell what the answer rests on.

import { askJson, doing, element, fill, localTimes, wordsIn } from "./console.js";
import { base64, either } from "./chosen.js";

const words = wordsIn("page-words");
const byId = (id) => document.getElementById(id);
const file = byId("file"), text = byId("text");

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
      const body = one ? { [one.type.startsWith("audio/") ? "audio" : "image"]: await base64(one, words.unreadable) } : { text: text.value };
      tell(await askJson("POST", "/v1/verify", { json: body }));
    } catch (error) {
      show(words.no_answer, "unknown", element("p", error.message, { class: "notice bad" }));
    }
    byId("answer").focus();
  });
});
either(file, text, byId("drop"), byId("preview"));
