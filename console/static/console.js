// What all pages share: asking the service, times in the viewer's zone, notices, copying, keys.

const language = document.documentElement.lang;
const speaks = language.split("-")[0];
export const words = JSON.parse(document.getElementById("words").textContent);
const csrf = document.querySelector('meta[name="csrf"]').content;

/** Words that a page gives its script: those in the element with this id. */
export function wordsIn(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** A sentence with its {places} filled in. */
export function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** An element: its name, what it contains (texts stay texts), and its attributes. */
export function element(name, content = [], attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...[content].flat().filter((one) => one !== null && one !== undefined));
  return made;
}

/** What went wrong with a request, in words for a person. */
export class AskError extends Error {
  constructor(message, status, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** Ask the service; returns the response. `json`: sent as that. Throws AskError. */
export async function ask(method, url, { json, body, headers = {}, signal } = {}) {
  const sent = { "x-genguard-csrf": csrf, "x-genguard-speak": speaks, ...headers };
  if (json !== undefined) {
    sent["content-type"] = "application/json";
    body = JSON.stringify(json);
  }
  let answer;
  try {
    answer = await fetch(url, { method, headers: sent, body, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new AskError(words.away, 0, null);
  }
  if (answer.ok && !answer.redirected) return answer;
  if (answer.status === 401 || answer.redirected) {
    notice(words.ended, "bad", element("a", words.sign_in, { href: signIn(), target: "_blank" }));
    throw new AskError(words.ended, 401, null);
  }
  const told = await answer.json().catch(() => null);
  throw new AskError(told?.error?.message ?? words.failed, answer.status, told);
}

/** Ask for JSON. */
export async function askJson(method, url, options) {
  return (await ask(method, url, options)).json();
}

function signIn() {
  return `/auth/login?next=${encodeURIComponent(location.pathname + location.search)}`;
}

/** Say something in the corner; what went wrong stays until it is closed. */
export function notice(message, kind = "good", more = null) {
  const close = element("button", "×", { type: "button", class: "quiet", "aria-label": words.close });
  const shown = element("div", [element("div", [element("span", message), " ", more, " ", close])], { class: `notice ${kind}` });
  close.addEventListener("click", () => shown.remove());
  document.getElementById("notices").append(shown);
  if (kind !== "bad") setTimeout(() => shown.remove(), 6000);
}

/** Do what a button is for: it is off meanwhile, and what goes wrong is told. Returns what was done, undefined after a failure. */
export async function doing(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) notice(error.message || words.failed, "bad");
    if (!(error instanceof AskError) && error.name !== "AbortError") throw error;
    return undefined;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

const SHAPES = {
  day: { dateStyle: "medium" },
  minute: { dateStyle: "medium", timeStyle: "short" },
  second: { dateStyle: "medium", timeStyle: "medium" },
};

function ago(at) {
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const seconds = (at - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return words.now;
}

/** Show times below a node in the viewer's zone. */
export function localTimes(node = document) {
  for (const time of node.querySelectorAll("time[data-shape]")) {
    const at = new Date(time.dateTime);
    const shape = time.dataset.shape;
    time.textContent = shape === "ago" ? ago(at) : new Intl.DateTimeFormat(language, SHAPES[shape] ?? SHAPES.minute).format(at);
  }
}

/** Whether somebody is writing: keys are letters then. */
export function writing(event) {
  const where = event.target;
  return event.ctrlKey || event.metaKey || event.altKey || where.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(where.tagName);
}

function follow() {
  localTimes();
  setInterval(() => localTimes(), 60000);
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    notice(words.copied);
  });
  document.getElementById("leave")?.addEventListener("click", (event) =>
    doing(event.target, async () => {
      await fetch("/auth/logout", { method: "POST", headers: { "x-genguard-csrf": csrf } });
      location.assign("/auth/login?by=key&next=/console");
    }));
  let going = false;
  document.addEventListener("keydown", (event) => {
    if (writing(event)) return;
    const entries = document.querySelectorAll(".bar nav a");
    if (going && /^[1-9]$/.test(event.key) && entries[event.key - 1]) location.assign(entries[event.key - 1].href);
    going = event.key === "g";
    if (event.key === "?") document.getElementById("keys").showModal();
  });
}

follow();
