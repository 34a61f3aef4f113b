// What tests, tries and replays of a draft came to, as elements.

import { element, fill, wordsIn } from "../console.js";
import { framed, marked } from "../content.js";

const words = wordsIn("page-words");

export function badge(text, kind = "") {
  return element("span", text, { class: `badge ${kind}` });
}

export function action(name) {
  return badge(words[`action.${name}`] ?? name, `action-${name}`);
}

function table(heads, rows, label) {
  const head = element("thead", element("tr", heads.map((one) => element("th", one, { scope: "col" }))));
  const made = element("table", [head, element("tbody", rows)]);
  return element("div", made, { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
}

/** A button that leads to a line of the text. */
export function place(line, column, go) {
  if (!line) return element("span", "");
  const made = element("button", fill(words.at_line, { line }), { type: "button", class: "quiet" });
  made.addEventListener("click", () => go(line, column || 1));
  return made;
}

/** Findings of lints, worst first, each leading to its place. */
export function problems(findings, go) {
  const rank = { error: 0, warning: 1, advice: 2 };
  const kind = { error: "bad", warning: "warn", advice: "info" };
  return [...findings].sort((a, b) => rank[a.level] - rank[b.level]).map((one) => {
    const own = one.file === "policy";
    const told = [badge(words[`level.${one.level}`], kind[one.level]), " ", own ? place(one.line, one.column, go) : element("code", `${one.file}:${one.line ?? ""}`), " ", one.message];
    const why = one.advice ? element("details", [element("summary", fill(words.why, { lint: one.lint })), element("p", one.advice)], { class: "small" }) : null;
    return element("li", [element("span", told), why], { class: `problem ${one.level}` });
  });
}

/** What a run of tests came to. */
export function tests(result, go) {
  const red = result.tests.filter((one) => one.outcome !== "passed");
  const summary = element("p", [
    badge(result.ok ? words.tests_green : result.tests.length ? words.tests_red : words.tests_none, result.ok ? "good" : "bad"), " ",
    fill(words.tests_counts, { passed: result.passed, failed: result.failed, errors: result.errors }), " ",
    result.coverage ? fill(words.coverage, { percent: result.coverage.percent }) : "",
  ]);
  const rows = red.map((one) => element("li", [
    element("span", [badge(words[`outcome.${one.outcome}`], "bad"), " ", one.file === "policy" ? place(one.line, one.column, go) : null, " ", element("strong", one.rule ?? ""), " ", one.name]),
    element("ul", one.why.map((why) => element("li", why)), { class: "small" }),
  ]));
  const near = (result.near ?? []).slice(0, 20).map((one) => element("li", [place(one.line, one.column, go), " ", fill(words.near, { measure: one.measure, score: one.score.toFixed(3), threshold: one.threshold.toFixed(3) })]));
  return [
    summary,
    rows.length ? element("ol", rows, { class: "problems" }) : null,
    near.length ? element("details", [element("summary", fill(words.near_title, { count: near.length })), element("ul", near, { class: "small" })]) : null,
  ];
}

/** What a draft makes of a text, and why: the tree of each rule. */
export function tried(found) {
  const rules = [...found.rules].sort((a, b) => b.won - a.won || b.fired - a.fired);
  const failed = found.checks.filter((one) => one.status !== "ok");
  return [
    element("p", [action(found.action), " ", found.explanation]),
    found.covers === false ? element("p", words.not_covered, { class: "notice warn" }) : null,
    found.edited !== undefined ? element("p", [words.edited, " ", element("code", found.edited)]) : null,
    Object.values(found.message ?? {}).length ? element("p", [words.message, " ", element("q", found.message[document.documentElement.lang.slice(0, 2)] ?? Object.values(found.message)[0])]) : null,
    ...failed.map((one) => element("p", fill(words.check_failed, { check: one.check, status: one.status, error: one.error ?? "" }), { class: "notice warn" })),
    ...found.others.map((one) => element("p", [action(one.action), " ", one.because])),
    ...rules.map((rule) => element("details", [
      element("summary", [badge(rule.won ? words.won : rule.fired ? words.fired : rule.exception ? words.excepted : words.silent, rule.won ? "bad" : rule.fired ? "warn" : ""), " ", element("strong", rule.rule), " → ", action(rule.action)]),
      element("ul", node(rule.when), { class: "tree" }),
    ], { open: rule.fired })),
    table([words.check, words.found], found.checks.map((one) => element("tr", [
      element("th", one.check, { scope: "row" }),
      element("td", one.findings.length ? one.findings.slice(0, 12).map((hit) => element("div", [hit.label, " ", element("meter", "", { min: 0, max: 1, value: hit.score, "aria-label": hit.label }), " ", hit.score.toFixed(3)], { class: "hit" })) : words.nothing_found),
    ])), words.checks_title),
  ];
}

/** Where in a content something was found: the text with marks, the picture with boxes; nothing for what was found in the whole. */
export async function where(found, file, text) {
  const places = found.checks.flatMap((one) => one.findings.filter((hit) => hit.where).map((hit) => ({ ...hit.where, label: hit.label })));
  if (!places.length) return [];
  if (!file) return [element("pre", marked(text, places), { class: "revealed below" })];
  return file.type.startsWith("image/") ? framed(URL.createObjectURL(file), places, words) : [];
}

function node(step) {
  const holds = step.value === true ? words.holds : step.value === false ? words.not_holds : words.unknown;
  const told = [badge(holds, step.value === true ? "warn" : ""), " ", element("code", step.condition)];
  if (step.measured !== undefined) told.push(" ", element("span", fill(words.measured, { measured: step.measured }), { class: "soft" }));
  return element("li", [...told, step.parts ? element("ul", step.parts.map(node)) : null]);
}

/** What changes by a draft. */
export function changes(diff) {
  const kinds = { stricter: "held", looser: "warn", same: "good", unknown: "info" };
  const head = element("p", [badge(words[`effect.${diff.effect}`], kinds[diff.effect]), " ", fill(words.since, { version: diff.from.version })]);
  const rows = diff.changes.map((one) => element("li", [
    badge(words[`effect.${one.effect}`], kinds[one.effect]), " ",
    element("span", [element("strong", `${words[`part.${one.part}`] ?? one.part}${one.name ? ` ${one.name}` : ""}`), `: ${one.what}`]),
  ]));
  return [rows.length ? head : element("p", words.no_changes, { class: "soft" }), element("ul", rows, { class: "changes" })];
}

/** What a replay came to: a table of flips, whose examples lead to the decisions. */
export function replayed(result) {
  const facts = [
    [words.replayed, result.replayed], [words.unchanged, result.unchanged], [words.flipped, result.flipped],
    [words.unreplayable, result.unreplayable], [words.outside, result.outside],
  ].flatMap(([name, value]) => [element("dt", name), element("dd", value.toLocaleString(document.documentElement.lang))]);
  const reasons = Object.entries(result.reasons ?? {}).map(([why, count]) => element("li", `${count}: ${why}`));
  const rows = result.flips.map((flip) => element("tr", [
    element("td", [action(flip.from), " → ", action(flip.to)]),
    element("td", flip.count.toLocaleString(document.documentElement.lang), { class: "number" }),
    element("td", Object.entries(flip.by.rule ?? {}).slice(0, 6).map(([rule, count]) => element("div", `${rule} (${count})`))),
    element("td", flip.examples.map((one) => element("div", [
      element("a", one.decision.slice(0, 8), { href: `/console/decisions/${one.decision}` }), " ",
      element("span", one.because_after, { class: "small" }),
    ]))),
  ]));
  return [
    element("dl", facts, { class: "facts" }),
    rows.length ? table([words.flip, words.count, words.rules, words.decisions], rows, words.flips) : element("p", words.no_flips),
    reasons.length ? element("details", [element("summary", words.why_not), element("ul", reasons, { class: "small" })]) : null,
  ];
}
