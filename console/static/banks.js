// Banks: match a content, register and retire works, import many with progress.

import { ask, askJson, doing, element, fill, notice, wordsIn } from "./console.js";
import { base64, either } from "./chosen.js";

const words = wordsIn("page-words");
const byId = (id) => document.getElementById(id);
const LINES = 100; // of one request: each is registered whole, so a broken import is gone on with by doing it again

const url = (bank, rest) => `/v1/banks/${encodeURIComponent(bank)}/${rest}`;

function shown(bank, one) {
  const picture = one.thumbnail
    ? element("img", [], { class: "thumb", alt: "", src: url(bank, `works/${encodeURIComponent(one.work)}/thumbnail`) })
    : byId(`bare-${one.modality}`).content.cloneNode(true);
  const facts = [[words.method, one.method], [words.distance, `${one.distance} / ${one.limit}`], [words.owner, one.owner],
    [words.licence, one.licence], [words.why, one.reason]];
  return element("li", [picture, element("h3", one.title || one.work),
    element("dl", facts.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]),
      { class: "facts small" })], { class: "card" });
}

function matching(form) {
  const file = byId("file"), text = byId("text");
  either(file, text, byId("drop"), byId("preview"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!file.files.length && !text.value.trim()) return notice(words.choose, "warn");
    return doing(event.submitter, async () => {
      const json = file.files.length ? { image: await base64(file.files[0], words.unreadable) } : { text: text.value };
      const found = await askJson("POST", url(form.dataset.bank, "match"), { json });
      const said = found.matched ? fill(words.matched, { count: found.matches.length }) : found.note ?? words.no_match;
      byId("matches").replaceChildren(element("p", said, { class: `notice ${found.matched ? "warn" : "good"}` }),
        element("ul", found.matches.map((one) => shown(form.dataset.bank, one)), { class: "gallery" }));
    });
  });
}

function registering(form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = byId("add-file").files[0], text = byId("add-text").value;
    if (Boolean(file) === Boolean(text.trim())) return notice(words.choose, "warn");
    return doing(event.submitter, async () => {
      const json = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
      if (file) Object.assign(json, { image: await base64(file, words.unreadable), thumbnail: byId("add-thumb").checked });
      else json.text = text;
      await ask("POST", url(form.dataset.bank, "works"), { json });
      location.reload();
    });
  });
}

function retiring(dialog) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-retire]");
    if (!button) return;
    byId("retire-work").textContent = button.dataset.retire;
    dialog.returnValue = "no";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") return;
      doing(button, async () => {
        const bank = byId("match").dataset.bank;
        await ask("DELETE", url(bank, `works/${button.dataset.retire.split("/").map(encodeURIComponent).join("/")}`));
        location.reload();
      });
    }, { once: true });
  });
}

/** The first line of a file, of another kind than it says. */
function as(kind, first) {
  try {
    return kind ? JSON.stringify({ ...JSON.parse(first), kind }) : first;
  } catch {
    return first; // the service says what is wrong with it
  }
}

async function importing(form) {
  const bank = form.dataset.bank || byId("import-bank").value;
  const file = byId("import-file").files[0];
  const [first, ...lines] = (await file.text()).split("\n").filter((line) => line.trim());
  const header = as(byId("import-kind")?.value, first);
  const sum = { done: 0, of: lines.length, added: 0, same: 0, rejected: 0 };
  byId("import-state").hidden = false;
  byId("import-rejects").replaceChildren();
  for (let at = 0; at < Math.max(lines.length, 1); at += LINES) {
    const body = [header, ...lines.slice(at, at + LINES)].join("\n") + "\n";
    const found = await askJson("POST", url(bank, `import?source=${encodeURIComponent(file.name)}`), { body });
    sum.done = Math.min(at + LINES, lines.length);
    for (const name of ["added", "same", "rejected"]) sum[name] += found[name];
    for (const one of found.rejects) byId("import-rejects").append(element("li", `${one.id || one.place}: ${one.error}`));
    byId("import-progress").value = sum.of ? sum.done / sum.of : 1;
    byId("import-said").textContent = fill(words.imported, sum);
  }
  notice(fill(words.imported, sum));
}

if (byId("match")) matching(byId("match"));
if (byId("add")) registering(byId("add"));
if (byId("retire")) retiring(byId("retire"));
byId("import-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  doing(event.submitter, () => importing(event.target));
});
