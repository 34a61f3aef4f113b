// The list of decisions: completion, counts that come after the list, following live, saved searches, export, keys.

import { ask, askJson, doing, element, fill, localTimes, notice, wordsIn, writing } from "./console.js";
import { combobox } from "./combobox.js";
import { keep } from "./files.js";

const EVERY_MS = 2000;
let mostRows = 300;
const SCROLLED_ROWS = 1000; // then the link to older entries is a link again
const words = wordsIn("page-words");
const box = document.getElementById("q");
const asked = new URLSearchParams(location.search).get("q") ?? "";
const came = document.getElementById("came");
const live = document.getElementById("live");

function say(text) {
  if (came) came.textContent = text;
}

function query(more) {
  return new URLSearchParams({ q: asked, ...more }).toString();
}

/** Fetch the parts that count, one after the other: the quicker one first. */
async function counts() {
  for (const part of [document.getElementById("facets"), document.getElementById("chart")]) {
    if (!part?.querySelector(".waiting")) continue;
    part.setAttribute("aria-busy", "true");
    try {
      const answer = await ask("GET", `${part.dataset.part}?${query()}`);
      part.innerHTML = await answer.text();
    } catch {
      const again = element("button", words.again, { type: "button", class: "quiet" });
      again.addEventListener("click", counts);
      part.querySelector(".waiting").replaceChildren(words.counting_failed, " ", again);
    } finally {
      part.removeAttribute("aria-busy");
    }
  }
}

/** Put rows that came since at the top. Returns how many. */
async function follow() {
  const answer = await ask("GET", `/console/decisions/newer?${query({ after: live.dataset.after })}`);
  const made = document.createElement("template");
  made.innerHTML = await answer.text();
  const rows = [...made.content.querySelectorAll("tr[data-idx]")];
  live.dataset.after = Math.max(Number(live.dataset.after), Number(made.content.querySelector("tr[data-last]").dataset.last));
  if (!rows.length) return 0;
  const body = document.getElementById("rows");
  body.closest(".scroll").hidden = false;
  document.querySelector(".empty")?.remove();
  rows.forEach((row) => row.classList.add("fresh"));
  body.prepend(...rows);
  localTimes(body);
  const shown = [...body.querySelectorAll("tr[data-idx]")];
  shown.slice(mostRows).filter((row) => !row.contains(document.activeElement)).forEach((row) => row.remove());
  return rows.length;
}

/** Put older entries below when somebody gets to the end; the address of each page stays in the link. */
function scrolling() {
  const link = document.getElementById("older");
  const body = document.getElementById("rows");
  if (!link || !body) return;
  let busy = false;
  const watch = new IntersectionObserver(async ([seen]) => {
    if (!seen.isIntersecting || busy || body.rows.length > SCROLLED_ROWS || live?.getAttribute("aria-pressed") === "true") return;
    busy = true;
    try {
      const before = new URL(link.href).searchParams.get("before");
      const made = document.createElement("template");
      made.innerHTML = await (await ask("GET", `/console/decisions/older?${query({ before })}`)).text();
      const rows = [...made.content.querySelectorAll("tr[data-idx]")];
      const next = made.content.querySelector("tr[data-last]").dataset.older;
      body.append(...rows);
      localTimes(body);
      const told = document.getElementById("how-many");
      const shown = body.querySelectorAll("tr[data-idx]").length;
      mostRows = Math.max(mostRows, shown); // following live leaves no gap before the link
      told.textContent = fill(told.dataset.words, { shown });
      say(fill(words.older, { count: rows.length }));
      const to = new URL(link.href);
      to.searchParams.set("before", next);
      if (next) link.href = to;
      else link.remove();
      watch.unobserve(link);
      if (next) watch.observe(link); // it may be in view still
    } catch {
      watch.disconnect(); // the link leads on
    }
    busy = false;
  }, { rootMargin: "200px" });
  watch.observe(link);
}

let following = 0;
let failed = 0;

async function tick() {
  const turn = following;
  try {
    if (!document.hidden) {
      const number = await follow();
      if (number) say(fill(words.came, { count: number }));
    }
    failed = 0;
  } catch (error) {
    if (error.status === 401) return switchLive(false);
    failed += 1;
  }
  if (turn === following && live.getAttribute("aria-pressed") === "true") {
    setTimeout(() => turn === following && tick(), EVERY_MS * Math.min(2 ** failed, 16));
  }
}

function switchLive(on) {
  following += 1;
  live.setAttribute("aria-pressed", String(on));
  const state = new URL(location.href);
  if (on) state.searchParams.set("live", "1");
  else state.searchParams.delete("live");
  history.replaceState(null, "", state);
  say(on ? words.live_on : words.live_off);
  if (on) tick();
}

function saved() {
  document.getElementById("save")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = document.getElementById("save-name").value;
    doing(event.submitter, async () => {
      await askJson("PUT", `/v1/searches/${encodeURIComponent(name)}`, { json: { q: asked } });
      location.reload();
    });
  });
  document.getElementById("saved")?.addEventListener("click", (event) => {
    const button = event.target.closest("[data-forget]");
    if (!button) return;
    doing(button, async () => {
      await askJson("DELETE", `/v1/searches/${encodeURIComponent(button.dataset.forget)}`);
      button.closest("li").remove();
      notice(words.forgotten);
    });
  });
}

function exporting() {
  const dialog = document.getElementById("export-dialog");
  document.getElementById("export")?.addEventListener("click", () => dialog.showModal());
  document.getElementById("export-go")?.addEventListener("click", (event) =>
    doing(event.target, async () => {
      const format = document.getElementById("export-format").value;
      const all = document.getElementById("export-all")?.checked ?? false;
      const answer = await ask("POST", "/v1/exports", { json: { format, q: asked, all_kinds: all } });
      await keep(answer, `genguard.${format}`);
      dialog.close();
      const [count, entry] = ["x-genguard-count", "x-genguard-export"].map((name) => answer.headers.get(name));
      notice(fill(words.exported, { count, entry }));
    }));
}

/** Move the focus to the next or previous entry. */
function step(by) {
  const links = [...document.querySelectorAll("#rows a.open")];
  const here = links.indexOf(document.activeElement);
  const to = here < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(here + by, 0), links.length - 1);
  links[to]?.focus();
}

const KEYS = {
  "/": () => {
    box.focus();
    box.select();
  },
  j: () => step(1),
  k: () => step(-1),
  n: () => document.getElementById("older")?.click(),
  p: () => document.getElementById("newer")?.click(),
  l: () => live?.click(),
  x: () => document.getElementById("export")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (writing(event) || document.querySelector("dialog[open]") || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

combobox(
  box,
  document.getElementById("q-list"),
  async (text, at) => (await askJson("GET", `/v1/decisions/complete?${new URLSearchParams({ q: text, at })}`)).completions,
  say,
  words,
);
const grammar = document.getElementById("grammar-open");
grammar.hidden = false;
grammar.addEventListener("click", () => document.getElementById("grammar").showModal());
saved();
exporting();
scrolling();
if (live) {
  live.addEventListener("click", () => switchLive(live.getAttribute("aria-pressed") !== "true"));
  if (live.getAttribute("aria-pressed") === "true") tick();
}
counts();
