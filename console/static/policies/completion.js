// What could be written at a place of a policy: from the schema of the file, the checks that are installed, and the text itself.

import { placeOf } from "./yaml.js";

export class Completion {
  /** `hints`: what the console tells of schema and checks. */
  constructor(hints) {
    this.schema = hints.schema;
    this.checks = hints.checks;
    this.packs = hints.packs;
    this.facts = hints.facts;
  }

  /** Choices `{text, about, more}` at an offset, and `from`, where what they replace begins. */
  at(text, offset) {
    const place = placeOf(text, offset);
    if (!place) return { from: offset, choices: [] };
    const node = this.#walk(place.path);
    const prefix = /[^\s,[\]{}]*$/.exec(place.prefix)[0];
    const known = place.key === null ? this.#keys(place, node, text) : this.#values(place, node, text);
    const wanted = prefix.toLowerCase();
    const fitting = known.filter((one) => one.text.toLowerCase().includes(wanted) && one.text !== prefix);
    fitting.sort((a, b) => b.text.toLowerCase().startsWith(wanted) - a.text.toLowerCase().startsWith(wanted));
    return { from: offset - prefix.length, choices: fitting.slice(0, 40) };
  }

  #resolve(node) {
    let found = node;
    while (found?.$ref) found = this.schema.$defs[found.$ref.split("/").at(-1)];
    return found ?? null;
  }

  /** The forms that a node can have, lists as what is in them. */
  #forms(node) {
    const found = this.#resolve(node);
    if (!found) return [];
    const inner = [...(found.anyOf ?? []), ...(found.oneOf ?? [])].flatMap((one) => this.#forms(one));
    const items = found.items ? this.#forms(found.items) : [];
    return [found, ...inner, ...items];
  }

  #walk(path) {
    let forms = this.#forms(this.schema);
    for (const step of path) {
      const next = forms.flatMap((form) => {
        if (form.properties?.[step]) return [form.properties[step]];
        if (form.patternProperties) return Object.values(form.patternProperties);
        return typeof form.additionalProperties === "object" ? [form.additionalProperties] : [];
      });
      forms = next.flatMap((one) => this.#forms(one));
    }
    return forms;
  }

  #keys(place, forms, text) {
    if (place.item && !forms.some((form) => form.properties)) return this.#values({ ...place, key: place.item, path: place.path.slice(0, -1) }, this.#walk(place.path.slice(0, -1)), text);
    const found = forms.flatMap((form) => Object.entries(form.properties ?? {}).map(([name, one]) => ({ text: name, about: this.#about(one), more: ": " })));
    if (forms.some((form) => form.title === "Condition")) found.unshift(...this.#conditions(text));
    if (place.path[0] === "checks" && place.path.length === 2) found.push(...this.#parameters(text, place.path[1]));
    return found;
  }

  #about(node) {
    return node.description ?? this.#resolve(node)?.description ?? "";
  }

  #values({ path, key }, forms, text) {
    const found = this.#walk([...path, key]);
    const plain = (words, about = "") => words.map((one) => ({ text: String(one), about, more: "" }));
    if (key === "use") return plain(Object.keys(this.checks));
    if (key === "extends") return plain(this.packs);
    if (key === "rules" && ["exceptions", "previews", "remove"].includes(path.at(-1) ?? "")) return plain(idsIn(text));
    if (this.facts[key]) return plain(this.facts[key]);
    if (forms.some((form) => form.title === "Condition") && !forms.some((form) => form.properties?.[key])) return this.#wanted(text, key);
    const listed = found.flatMap((form) => form.enum ?? (form.const !== undefined ? [form.const] : form.type === "boolean" ? [true, false] : []));
    if (listed.length) return plain([...new Set(listed)], this.#about(found[0]));
    const shown = found.flatMap((form) => form.examples ?? []).filter((one) => typeof one !== "object");
    return plain([...new Set(shown)], found[0] ? this.#about(found[0]) : "");
  }

  /** What a condition can ask of the checks that the text has. */
  #conditions(text) {
    return Object.entries(usesIn(text)).flatMap(([name, use]) => [
      { text: name, about: use, more: ": " },
      ...(this.checks[use]?.labels ?? []).map((label) => ({ text: `${name}.${label}`, about: use, more: ": 0." })),
    ]);
  }

  #wanted(text, key) {
    const use = usesIn(text)[key];
    if (!use) return [];
    return ["any", ...(this.checks[use]?.labels ?? [])].map((label) => ({ text: label, about: use, more: "" }));
  }

  #parameters(text, name) {
    const known = this.checks[usesIn(text)[name]]?.parameters ?? [];
    return known.map((one) => ({ text: one.name, about: one.default ? `= ${one.default}` : "", more: ": " }));
  }
}

/** Checks of a policy's text: what each name uses. */
export function usesIn(text) {
  const found = {};
  let within = false;
  let name = "";
  for (const line of text.split("\n")) {
    if (/^\S/.test(line) && !line.startsWith("#")) within = /^checks:/.test(line);
    if (!within) continue;
    const head = /^ {1,8}([a-z][a-z0-9_-]*):/.exec(line);
    const use = /\buse:\s*([\w.-]+)/.exec(line);
    if (head && head[1] !== "use" && (use || /:\s*(#.*)?$/.test(line))) name = head[1];
    if (use && name) found[name] = use[1];
  }
  return found;
}

/** Ids of the rules of a policy's text. */
export function idsIn(text) {
  const after = text.split(/^rules:/m)[1] ?? "";
  return [...after.matchAll(/^\s*- (?:\{ *)?id: *([a-z][a-z0-9_-]*)/gm)].map((one) => one[1]);
}
