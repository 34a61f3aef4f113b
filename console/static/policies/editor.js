// A text area with colours, line numbers, marks of what is wrong and completion. The text area stays what is edited and read aloud;
// all else lies behind or beside it.

import { element, fill } from "../console.js";
import { pieces } from "./yaml.js";

const INDENT = "  ";

export class Editor {
  #lines = [];
  #marks = new Map();
  #leaves = false;
  #choices = [];
  #chosen = 0;
  #from = 0;

  /** `root`: holds `textarea`, `.mirror`, `.gutter`, `.choices` and `.told`. `complete(text, offset)`: see `Completion.at`. */
  constructor(root, words, { complete, changed }) {
    this.root = root;
    this.words = words;
    this.area = root.querySelector("textarea");
    this.mirror = root.querySelector(".mirror");
    this.gutter = root.querySelector(".gutter");
    this.list = root.querySelector(".choices");
    this.told = root.querySelector(".told");
    this.complete = complete;
    this.changed = changed;
    this.area.addEventListener("input", (event) => this.#input(event));
    this.area.addEventListener("keydown", (event) => this.#key(event));
    this.area.addEventListener("blur", () => this.#close());
    this.area.addEventListener("click", () => this.#close());
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the text keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.#take(Number(option.dataset.at));
    });
    this.#draw();
  }

  get text() {
    return this.area.value;
  }

  set text(value) {
    this.area.value = value;
    this.#draw();
  }

  /** Mark what is wrong: `[{line, column, level}]`, lines and columns from 1. */
  mark(found) {
    this.#marks = new Map();
    for (const one of found) {
      if (one.line) this.#marks.set(one.line, [...(this.#marks.get(one.line) ?? []), one]);
    }
    this.#lines = [];
    this.#draw();
  }

  /** Put the caret at a place and show it. */
  go(line, column = 1) {
    const before = this.text.split("\n").slice(0, line - 1);
    const at = Math.min(before.reduce((sum, one) => sum + one.length + 1, 0) + column - 1, this.text.length);
    this.area.focus();
    this.area.setSelectionRange(at, at);
    const row = this.mirror.children[line - 1];
    row?.scrollIntoView({ block: "center" });
  }

  #draw() {
    const lines = this.text.split("\n");
    lines.forEach((line, at) => {
      if (this.#lines[at] === line && this.mirror.children[at]) return;
      const made = this.#line(line, at + 1);
      if (this.mirror.children[at]) this.mirror.children[at].replaceWith(made);
      else this.mirror.append(made);
    });
    while (this.mirror.children.length > lines.length) this.mirror.lastChild.remove();
    this.#lines = lines;
    const marks = this.#marks;
    const wanted = lines.map((_, at) => `${worst(marks.get(at + 1))}${at + 1}`).join("\n");
    if (this.gutter.dataset.shown === wanted) return;
    this.gutter.dataset.shown = wanted;
    this.gutter.replaceChildren(...lines.map((_, at) => {
      const level = worst(marks.get(at + 1));
      return element("span", String(at + 1), { class: level ? `line ${level}` : "line" });
    }));
  }

  #line(line, number) {
    const marks = this.#marks.get(number) ?? [];
    const made = element("div", [], { class: "line" });
    for (const [kind, text, column] of pieces(line)) {
      const mark = marks.find((one) => one.column - 1 >= column && one.column - 1 < column + text.length);
      made.append(element("span", text, { class: mark ? `y-${kind} wrong ${mark.level}` : `y-${kind}` }));
    }
    if (!line) made.append("\n");
    return made;
  }

  #input(event) {
    this.#leaves = false;
    this.#draw();
    this.changed();
    const word = /[\w.$-]/.test(event.data ?? "") || (event.data === " " && /[:{,-] $/.test(this.#before()));
    if (word || (!this.list.hidden && event.inputType === "deleteContentBackward")) this.#open(event.data === " ");
    else this.#close();
  }

  #before() {
    return this.text.slice(0, this.area.selectionStart).split("\n").at(-1);
  }

  #open(quiet = false) {
    const at = this.area.selectionStart;
    const { from, choices } = this.complete(this.text, at);
    if (!choices.length || (quiet && choices.length > 30)) return this.#close();
    this.#choices = choices;
    this.#from = from;
    this.#show(0);
    this.#place();
    if (!quiet) this.told.textContent = fill(this.words.choices, { count: choices.length });
    return true;
  }

  #show(chosen) {
    this.#chosen = (chosen + this.#choices.length) % this.#choices.length;
    this.list.replaceChildren(...this.#choices.map((one, at) => element("li", [element("strong", one.text), element("span", one.about.slice(0, 90), { class: "about" })], {
      role: "option", id: `choice-${at}`, "data-at": at, "aria-selected": String(at === this.#chosen),
    })));
    this.list.hidden = false;
    this.area.setAttribute("aria-activedescendant", `choice-${this.#chosen}`);
    this.list.children[this.#chosen].scrollIntoView({ block: "nearest" });
  }

  #place() {
    const line = this.text.slice(0, this.#from).split("\n");
    const row = this.mirror.children[line.length - 1];
    const probe = document.createRange();
    let left = line.at(-1).length;
    let spot = row.firstChild;
    while (spot?.nextSibling && left > spot.textContent.length) {
      left -= spot.textContent.length;
      spot = spot.nextSibling;
    }
    const node = spot?.firstChild ?? spot ?? row;
    probe.setStart(node, Math.min(left, node.textContent.length));
    probe.collapse(true);
    const box = probe.getClientRects()[0] ?? row.getBoundingClientRect();
    const frame = this.root.getBoundingClientRect();
    const room = frame.width - this.list.offsetWidth - 8;
    this.list.style.left = `${Math.max(0, Math.min(box.left - frame.left, room))}px`;
    this.list.style.top = `${box.bottom - frame.top + 2}px`;
  }

  #close() {
    this.list.hidden = true;
    this.#choices = [];
    this.area.removeAttribute("aria-activedescendant");
  }

  #take(at) {
    const one = this.#choices[at];
    const after = this.text.slice(this.area.selectionStart);
    const more = one.more && /^\s*:/.test(after) ? "" : one.more;
    this.area.focus();
    this.area.setSelectionRange(this.#from, this.area.selectionStart);
    this.#insert(one.text + more);
    this.told.textContent = one.text;
    this.#close();
  }

  /** Write as if typed, so that it can be undone. */
  #insert(text) {
    document.execCommand("insertText", false, text);
  }

  #key(event) {
    const open = !this.list.hidden;
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      if (!this.#open()) this.told.textContent = this.words.no_choices;
    } else if (event.key === "Escape") {
      if (open) this.#close();
      else {
        this.#leaves = true;
        this.told.textContent = this.words.leaves;
      }
      event.preventDefault();
    } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.#show(this.#chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (open && (event.key === "Enter" || event.key === "Tab") && !event.shiftKey) {
      event.preventDefault();
      this.#take(this.#chosen);
    } else if (event.key === "Tab" && !this.#leaves && !event.ctrlKey && !event.altKey) {
      event.preventDefault();
      if (event.shiftKey) this.#outdent();
      else this.#indent();
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.#insert(`\n${this.#depth()}`);
    }
  }

  /** How the next line begins. */
  #depth() {
    const line = this.#before();
    const spaces = /^\s*/.exec(line)[0];
    if (/^\s*- \S/.test(line)) return `${spaces}${INDENT}${/:\s*$/.test(line) ? INDENT : ""}`;
    return /:\s*$/.test(line) ? `${spaces}${INDENT}` : spaces;
  }

  #indent() {
    if (this.area.selectionStart === this.area.selectionEnd) this.#insert(INDENT);
    else this.#each((line) => INDENT + line);
  }

  #outdent() {
    this.#each((line) => line.replace(/^ {1,2}/, ""));
  }

  #each(change) {
    const { selectionStart: start, selectionEnd: end } = this.area;
    const from = this.text.lastIndexOf("\n", start - 1) + 1;
    const until = this.text.indexOf("\n", Math.max(start, end - 1));
    const to = until < 0 ? this.text.length : until;
    const old = this.text.slice(from, to);
    const made = old.split("\n").map(change).join("\n");
    if (made === old) return;
    this.area.setSelectionRange(from, to);
    this.#insert(made);
    if (old.includes("\n")) this.area.setSelectionRange(from, from + made.length);
  }
}

function worst(marks = []) {
  return ["error", "warning", "advice"].find((level) => marks.some((one) => one.level === level)) ?? "";
}

/** Colour a text that is only shown, with a number before each line. */
export function coloured(shown) {
  const lines = shown.textContent.replace(/\n$/, "").split("\n");
  shown.classList.add("numbered");
  shown.replaceChildren(...lines.map((line) => {
    const parts = pieces(line).map(([kind, text]) => element("span", text, { class: `y-${kind}` }));
    return element("span", [...parts, "\n"], { class: "line" });
  }));
}
