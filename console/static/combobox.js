// A text box with completions: an ARIA combobox with a listbox. The box keeps the focus; arrows move through the list.

import { element, fill } from "./console.js";

/**
 * Give a box completions. `complete(text, place)` promises [{text, start, end}], places in characters; `said` is told how many
 * there are, with `words.options` and `words.option_none`.
 */
export function combobox(box, list, complete, said, words) {
  let options = [];
  let active = -1;
  let asked = 0;
  let timer = 0;
  let shownFor = null;
  box.setAttribute("role", "combobox");
  box.setAttribute("aria-autocomplete", "list");
  box.setAttribute("aria-controls", list.id);
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", document.querySelector(`label[for="${box.id}"]`).textContent);

  /** Whether the list is of the text as it is now: one of before has other places in it. */
  function fresh() {
    return !list.hidden && shownFor === box.value;
  }

  function close() {
    asked += 1;
    clearTimeout(timer);
    list.hidden = true;
    active = -1;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  function move(to) {
    active = (to + options.length + 1) % (options.length + 1);
    if (active === options.length) active = -1;
    [...list.children].forEach((one, number) => one.setAttribute("aria-selected", String(number === active)));
    if (active < 0) box.removeAttribute("aria-activedescendant");
    else {
      box.setAttribute("aria-activedescendant", list.children[active].id);
      list.children[active].scrollIntoView({ block: "nearest" });
    }
  }

  async function open() {
    const turn = ++asked;
    const text = box.value;
    const place = [...text.slice(0, box.selectionStart ?? text.length)].length;
    let found;
    try {
      found = await complete(text, place);
    } catch {
      found = [];
    }
    if (turn !== asked || document.activeElement !== box) return;
    options = found;
    active = -1;
    shownFor = text;
    list.replaceChildren(...options.map((one, number) => {
      const shown = element("li", one.text, { role: "option", id: `${list.id}-${number}`, "aria-selected": "false" });
      shown.addEventListener("mousedown", (event) => {
        event.preventDefault();
        if (fresh()) take(one);
      });
      return shown;
    }));
    list.hidden = options.length === 0;
    box.setAttribute("aria-expanded", String(options.length > 0));
    box.removeAttribute("aria-activedescendant");
    said(options.length ? fill(words.options, { count: options.length }) : words.option_none);
  }

  function take(one) {
    const letters = [...box.value];
    const before = letters.slice(0, one.start).join("") + one.text;
    const after = letters.slice(one.end).join("");
    const gap = one.text.endsWith(":") || after.startsWith(" ") || after.startsWith(",") ? "" : " ";
    box.value = before + gap + after;
    box.setSelectionRange(before.length + gap.length, before.length + gap.length);
    close();
    if (one.text.endsWith(":")) open();
  }

  box.setAttribute("aria-expanded", "false");
  box.addEventListener("input", () => {
    clearTimeout(timer);
    asked += 1;
    if (active >= 0) move(-1);
    timer = setTimeout(open, 120);
  });
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!fresh()) open();
      else move(active + (event.key === "ArrowDown" ? 1 : -1));
    } else if ((event.key === "Enter" || event.key === "Tab") && active >= 0 && fresh()) {
      event.preventDefault();
      take(options[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
}
