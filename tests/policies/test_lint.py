"""Every lint finds its mistake, and keeps quiet at a near miss."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from guard.registry import checks, markers
from guard.rules import AllOf, Attribute, Clock, Exemption
from guard.types import Modality
from policies import loads, open_policy, packs
from policies.lint import LINTS, Level, Report, examine, lint, mistaken
from policies.lint.page import FILE, page
from policies.load import read_policy
from policies.mistake import PolicyFileError, Position
from tests.policies.conftest import TOXICITY, FakeMarker, hearing, hosted, iptc, placeless, service

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def text_watermark(*, method: str = "synthid") -> FakeMarker:
    return FakeMarker(Modality.TEXT)


@pytest.fixture(autouse=True)
def _more_parts(_small_parts: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of every kind."""
    if "real_parts" not in request.fixturenames:
        for name, factory in {"hosted": hosted, "service": service, "placeless": placeless, "hearing": hearing}.items():
            monkeypatch.setitem(checks._factories, name, factory)
            monkeypatch.setitem(checks._modules, name, __name__)
        monkeypatch.setitem(markers._factories, "text_watermark", text_watermark)
        monkeypatch.setitem(markers._factories, "iptc", iptc)


HEAD = {
    "policy": "house",
    "version": "3",
    "status": "live",
    "owner": "trust-and-safety",
    "description": "For tests.",
    "applies_to": "{generators: [language]}",
}
CHECKS = {"toxicity": "{use: toxicity}", "pii": "{use: pii}"}


def rule(
    id: str = "threat",  # noqa: A002
    when: str = "{toxicity.threat: 0.6}",
    action: str = "block",
    category: str = "violence",
    **more: str,
) -> dict[str, str]:
    """A rule without a flaw; `more` adds keys, replaces them, or with an empty text leaves them out."""
    given = {"id": id, "title": "A rule", "when": when, "action": action, "category": category, "basis": "House rules"}
    if action in ("block", "review"):
        given["message"] = "{en: Withheld.}"
    if action == "redact":
        given["with"] = "{operator: replace}"
    given["tests"] = f"[{{flags: bad {id}}}, {{passes: good {id}}}]"
    return given | {"with" if key == "with_" else key: value for key, value in more.items()}


CARD = rule("card", "{pii: CREDIT_CARD}", "redact", "privacy")


def house(
    *rules: dict[str, str], head: Mapping[str, str] | None = None, checks: Mapping[str, str] | None = None, marks: str = ""
) -> str:
    """A policy file without a flaw, but for what is given."""
    lines = [f"{key}: {value}" for key, value in (HEAD | (head or {})).items() if value]
    lines += ["checks:", *(f"  {name}: {entry}" for name, entry in (CHECKS | (checks or {})).items() if entry), "rules:"]
    for one in rules or (rule(), CARD):
        given = [f"{key}: {value}" for key, value in one.items() if value]
        lines += [f"  - {given[0]}", *(f"    {line}" for line in given[1:])]
    return "\n".join([*lines, *([f"marks: {marks}"] if marks else [])]) + "\n"


def look(text: str, **options: Any) -> Report:
    loaded = read_policy(text, file="house.yaml")
    if "exceptions" in options:
        loaded = replace(loaded, policy=replace(loaded.policy, exceptions=options.pop("exceptions")))
    if "unused" in options:
        loaded = replace(loaded, unused=options.pop("unused"))
    return examine(loaded, NOW, texts={"house.yaml": text.splitlines()}, **options)


def names(report: Report) -> list[str]:
    return [one.lint.name for one in report.findings]


def exemption(until: datetime, **more: Any) -> dict[str, Any]:
    return {"exceptions": (Exemption("press", ("threat",), "legal", "They quote.", until, **more),)}


def on(**checks: str) -> dict[str, str]:
    """Only these checks."""
    return {**dict.fromkeys(CHECKS, ""), **checks}


BAD = "{harm.bad: 0.6}"
IMAGES = {"applies_to": "{generators: [diffusion]}"}
BOTH = {"applies_to": "{generators: [language, diffusion]}"}
WORKS = {"works": "{use: image_match, bank: w}"}
COPY = rule("copy", "{works: matched}", category="intellectual_property", tests="")
SEEN = {**COPY, "tests": "[{flags: {image: a.png}}]"}
LOOKED = {**BOTH, "previews": "{rules: [copy]}"}
ANY = {"applies_to": "{generators: ['*']}"}
ALL = (rule(), CARD, rule("said", BAD, tests=""), SEEN)
PLAIN = house()
TEXTS_ONLY = "checks:  # lint: allow unread-stage - texts only"

Case = tuple[str, str | tuple[str, dict[str, Any]], str | tuple[str, dict[str, Any]]]
CASES: list[Case] = [
    (
        "never-fires",
        house(rule(when="{toxicity.threat: 0.8, not: {toxicity.threat: 0.5}}"), CARD),
        house(rule(when="{toxicity.threat: 0.5, not: {toxicity.threat: 0.8}}"), CARD),
    ),
    (
        "never-decides",
        house(rule(), rule("insult", "{toxicity.threat: 0.7, tenant: shop}", "review"), CARD),
        house(rule(), rule("insult", "{any: [{toxicity.threat: 0.7}, {toxicity.insult: 0.7}]}", "review"), CARD),
    ),
    (
        "never-decides",
        house(rule(), rule("shop", "{toxicity.threat: 0.7, tenant: shop}"), CARD),
        house(rule("shop", "{toxicity.threat: 0.7, tenant: shop}", message="{en: Not in this shop.}"), rule(), CARD),
    ),
    (
        "never-decides",
        house(CARD, rule("all", "{pii: any}", "redact", "privacy", with_="{operator: remove}"), rule()),
        house(CARD, rule("all", "{pii: any}", "redact", "privacy", with_="{operator: mask}"), rule()),
    ),
    (
        "overlapping-thresholds",
        house(rule(), rule("doubt", "{toxicity.threat: 0.8}", "review"), CARD),
        house(rule(), rule("doubt", "{toxicity.threat: 0.4}", "review"), CARD),
    ),
    (
        "overlapping-thresholds",
        house(rule(), rule("again", "{toxicity.threat: 0.8}"), CARD),
        house(rule(), rule("again", "{toxicity.threat: 0.8}", "allow"), CARD),
    ),
    (
        "zero-threshold",
        house(rule(when="{toxicity.threat: 0}"), CARD),
        house(rule(when="{toxicity: threat}"), CARD),
    ),
    (
        "certain-threshold",
        house(rule(when="{toxicity.threat: 1}"), CARD),
        house(rule(), rule("card", "{pii.CREDIT_CARD: 1}", "redact", "privacy")),
    ),
    (
        "unreported-threshold",
        house(rule(when="{toxicity.threat: 0.04}"), CARD),
        house(rule(when="{toxicity.threat: 0.04}"), CARD, checks={"toxicity": "{use: toxicity, report_from: 40}"}),
    ),
    (
        "idle-condition",
        house(rule(when="{any: [{toxicity.threat: 0.6}, {toxicity.threat: 0.8}]}"), CARD),
        house(rule(when="{any: [{toxicity.threat: 0.6}, {toxicity.threat: 0.5, stage: output}]}"), CARD),
    ),
    (
        "idle-condition",
        house(rule(when="{toxicity.threat: 0.6, toxicity: 0.5}"), CARD),
        house(rule(when="{toxicity.threat: 0.6, toxicity: 0.7}"), CARD),
    ),
    (
        "idle-pattern",
        house(rule(when='{toxicity.threat: 0.6, tenant: ["shop-*", shop-1]}'), CARD),
        house(rule(when='{toxicity.threat: 0.6, tenant: ["shop-*", shop]}'), CARD),
    ),
    (
        "idle-pattern",
        house(head={"applies_to": '{generators: [language], tenants: ["*", shop]}'}),
        house(head={"applies_to": "{generators: [language], tenants: [bank, shop]}"}),
    ),
    ("no-title", house(rule(title=""), CARD), PLAIN),
    ("no-basis", house(rule(basis=""), CARD), PLAIN),
    ("no-message", house(rule(message=""), CARD), house(rule(action="allow"), CARD)),
    (
        "no-translation",
        house(rule(), rule("insult", "{toxicity.insult: 0.6}", message="{en: No., zh: 不。}", category="harassment"), CARD),
        house(
            rule(message="{en: No., zh: 不。}"),
            rule("insult", "{toxicity.insult: 0.6}", message="{en: No., zh: 不。}", category="harassment"),
            CARD,
        ),
    ),
    (
        "unseen-message",
        house(rule(action="allow", message="{en: Seen by nobody.}"), CARD),
        house(rule(), {**CARD, "message": "{en: Where nothing can be cut.}"}),
    ),
    (
        "odd-category",
        house(rule(category="privacy"), CARD),
        house(rule(when="{toxicity: [threat, insult]}", category="harassment"), CARD),
    ),
    (
        "redacts-without-places",
        house(rule(action="redact"), CARD),
        house(rule(), CARD),
    ),
    (
        "redacts-without-places",
        house(rule(), rule("harm", BAD, "redact"), CARD, checks={"harm": "{use: placeless}"}),
        house(rule(), rule("harm", BAD), CARD, checks={"harm": "{use: placeless}"}),
    ),
    (
        "no-flagged-example",
        house(rule(tests="[{passes: good}]"), CARD),
        PLAIN,
    ),
    ("no-passed-example", house(rule(tests="[{flags: bad}]"), CARD), PLAIN),
    (
        "no-image-example",
        house(rule(), CARD, COPY, head=BOTH, checks=WORKS),
        (
            house(rule(), CARD, SEEN, head=BOTH, checks=WORKS),
            {},
        ),
    ),
    (
        "contradictory-examples",
        house(rule(tests="[{flags: same}, {passes: same}]"), CARD),
        house(rule(tests="[{flags: same}, {passes: other}]"), {**CARD, "tests": "[{flags: more}, {passes: same}]"}),
    ),
    (
        "contradictory-examples",
        house(
            rule(tests="[{flags: same}, {passes: other}]"),
            rule("doubt", "{toxicity.threat: 0.4}", "review", tests="[{flags: more}, {passes: same}]"),
            CARD,
        ),
        house(
            rule(tests="[{flags: same}, {passes: other}]"),
            rule("doubt", "{toxicity.threat: 0.4, not: {stage: output}}", "review", tests="[{flags: more}, {passes: same}]"),
            CARD,
        ),
    ),
    (
        "repeated-example",
        house(rule(tests="[{flags: same}, {flags: same}, {passes: other}]"), CARD),
        house(rule(tests="[{flags: same}, {flags: another}, {passes: other}]"), CARD),
    ),
    (
        "fails-open",
        house(checks={"pii": "{use: pii, on_failure: allow}"}),
        house(checks={"pii": "{use: pii, on_failure: review}"}),
    ),
    ("unused-check", house(rule()), house(rule(), rule("card", "{not: {pii: any}}", "review", "privacy"))),
    (
        "duplicate-check",
        house(rule(), CARD, rule("more", "{again.threat: 0.4}", "review"), checks={"again": "{use: toxicity}"}),
        house(
            rule(),
            CARD,
            rule("more", "{again.threat: 0.4}", "review"),
            checks={"again": "{use: toxicity, window_tokens: 64}"},
        ),
    ),
    (
        "needs-hub",
        (house(rule(when=BAD), checks=on(harm="{use: hosted, revision: abc}")), {"hub": False}),
        (house(rule(when=BAD), checks=on(harm="{use: hosted, revision: abc}")), {"hub": True}),
    ),
    (
        "unpinned-model",
        house(rule(when=BAD), checks=on(harm="{use: hosted}")),
        house(rule(when=BAD), checks=on(harm="{use: hosted, revision: abc}")),
    ),
    ("sends-out", house(rule(when=BAD), checks=on(harm="{use: service, timeout_ms: 1000}")), PLAIN),
    (
        "unread-stage",
        house(rule(when="{toxicity.threat: 0.6}"), checks=on(toxicity="{use: toxicity, stages: [prompt, output]}")),
        house(
            rule(when="{toxicity.threat: 0.6}"),
            CARD,
            checks={"toxicity": "{use: toxicity, stages: [prompt]}"},
        ),
    ),
    (
        "idle-check",
        house(rule(), CARD, SEEN, checks=WORKS),
        house(rule(), CARD, SEEN, head=BOTH, checks=WORKS),
    ),
    (
        "late-timeout",
        (house(rule(when=BAD), checks=on(harm="{use: service, timeout_ms: 2000} # lint: allow sends-out - agreed")), {}),
        (house(rule(when=BAD), checks=on(harm="{use: service, timeout_ms: 1999} # lint: allow sends-out - agreed")), {}),
    ),
    (
        "short-deadline",
        house(checks={"toxicity": "{use: toxicity, deadline_ms: 20}"}),
        house(checks={"pii": "{use: pii, deadline_ms: 20}"}),
    ),
    (
        "costly-first",
        house(
            rule(),
            rule("harm", BAD),
            checks=on(
                harm="{use: service, timeout_ms: 9} # lint: allow sends-out - agreed", toxicity="{use: toxicity, group: 2}"
            ),
        ),
        house(
            rule(),
            rule("harm", BAD),
            checks=on(
                harm="{use: service, timeout_ms: 9, group: 2} # lint: allow sends-out - agreed", toxicity="{use: toxicity}"
            ),
        ),
    ),
    (
        "unasked-label",
        house(checks={"pii": "{use: pii, entities: [CREDIT_CARD, PERSON]}"}),
        house(checks={"pii": "{use: pii, entities: [CREDIT_CARD]}"}),
    ),
    (
        "idle-mark",
        house(marks="{metadata: [iptc]}"),
        house(rule(), CARD, SEEN, head=BOTH, checks=WORKS, marks="{metadata: [iptc]}"),
    ),
    (
        "unmarked-audio",
        house(*ALL, head=ANY, checks=WORKS | {"harm": "{use: hearing}"}, marks="{label: {profile: eu}}"),
        house(*ALL, head=ANY, checks=WORKS | {"harm": "{use: hearing}"}, marks="{metadata: [aigc]}"),
    ),
    (
        "unmarkable-text",
        house(head={"applies_to": "{generators: [echo]}"}, marks="{watermark: {text: true}}"),
        house(marks="{watermark: {text: true}}"),
    ),
    (
        "watermark-blocks",
        house(marks="{watermark: {text: {on_unmarkable: block}}}"),
        house(marks="{watermark: {text: {on_unmarkable: allow}}}"),
    ),
    (
        "expired-exception",
        (PLAIN, exemption(NOW)),
        (PLAIN, exemption(datetime(2027, 1, 1, tzinfo=UTC))),
    ),
    (
        "expiring-exception",
        (PLAIN, exemption(datetime(2026, 12, 20, tzinfo=UTC))),
        (PLAIN, exemption(datetime(2026, 12, 30, tzinfo=UTC))),
    ),
    (
        "long-exception",
        (PLAIN, exemption(datetime(2027, 12, 1, tzinfo=UTC))),
        (PLAIN, exemption(datetime(2027, 11, 27, tzinfo=UTC))),
    ),
    (
        "idle-exception",
        (
            house(rule(when="{toxicity.threat: 0.6, tenant: shop}"), CARD),
            exemption(datetime(2027, 1, 1, tzinfo=UTC), when=Attribute("tenant", ("bank",))),
        ),
        (
            house(rule(when="{toxicity.threat: 0.6, tenant: shop}"), CARD),
            exemption(datetime(2027, 1, 1, tzinfo=UTC), when=Attribute("tenant", ("sh*",))),
        ),
    ),
    ("no-owner", house(head={"owner": ""}), PLAIN),
    ("streams-buffered", house(head={"stream": "window"}), house(head={"stream": "buffer"})),
    ("streams-buffered", house(head={"stream": "window"}), house()),
    (
        "previews-unread",
        house(rule(), CARD, SEEN, head=LOOKED, checks={"works": "{use: image_match, bank: w, stages: [output]}"}),
        house(rule(), CARD, SEEN, head=LOOKED, checks=WORKS),
    ),
    ("no-description", house(head={"description": ""}), PLAIN),
    (
        "not-activatable",
        (house(head={"status": "draft"}), {"activating": True}),
        (house(head={"status": "draft"}), {}),
    ),
    (
        "not-activatable",
        (house(head={"status": "deprecated"}), {"activating": True}),
        (house(head={"status": "shadow"}), {"activating": True}),
    ),
    (
        "version-not-raised",
        (PLAIN, {"before": PLAIN.replace("0.6", "0.5")}),
        (PLAIN.replace("version: 3", "version: 4"), {"before": PLAIN.replace("0.6", "0.5")}),
    ),
    (
        "other-policy",
        (PLAIN, {"before": PLAIN.replace("policy: house", "policy: mansion")}),
        (PLAIN, {"before": PLAIN}),
    ),
    (
        "misspelt-generator",
        house(rule(), CARD, head={"applies_to": "{generators: [langauge]}"}).replace("checks:", TEXTS_ONLY),
        house(rule(), CARD, head={"applies_to": "{generators: [ours]}"}).replace("checks:", TEXTS_ONLY),
    ),
    (
        "unused-list",
        (PLAIN, {"unused": (("cards", Position("house.yaml", 2, 1)),)}),
        (PLAIN, {"unused": ()}),
    ),
    (
        "bare-allowance",
        PLAIN.replace("  - id: threat", "  - id: threat  # lint: allow no-title"),
        house(rule(title=""), CARD).replace("  - id: threat", "  - id: threat  # lint: allow no-title - it is plain"),
    ),
    (
        "bare-allowance",
        PLAIN.replace("  - id: threat", "  - id: threat  # lint: allow no-titel - it is plain"),
        PLAIN.replace("  - id: threat", "  - id: threat  # lint allows nothing here"),
    ),
    (
        "unused-allowance",
        PLAIN.replace("  - id: threat", "  - id: threat  # lint: allow no-title - it is plain"),
        house(rule(title=""), CARD).replace("  - id: threat", "  # lint: allow no-title - it is plain\n  - id: threat"),
    ),
]


def _given(part: str | tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    text, options = (part, {}) if isinstance(part, str) else part
    return text, {**options, **({"before": loads(options["before"])} if "before" in options else {})}


def test_the_plain_policy_is_clean():
    """So that each case below has one flaw."""
    assert names(look(PLAIN)) == []


@pytest.mark.parametrize(("name", "bad", "near"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_each_lint_finds_its_mistake_and_nothing_near_it(name, bad, near):
    """One policy that has the flaw alone, and one that nearly has it."""
    text, options = _given(bad)
    report = look(text, **options)
    assert set(names(report)) == {name}, report.findings
    for one in report.findings:
        assert one.at.line, one
        assert one.message.startswith("found ")
        assert one.quote == text.splitlines()[one.at.line - 1]
    text, options = _given(near)
    assert name not in names(look(text, **options))


def test_a_rule_whose_time_is_over_is_told():
    """The moment comes from outside, so that a report can be made for any day."""
    loaded = read_policy(PLAIN, file="house.yaml")

    def timed(until: datetime) -> list[str]:
        first, *more = loaded.policy.rules
        when = AllOf((first.when, Clock(until=until)))
        policy = replace(loaded.policy, rules=(replace(first, when=when), *more))
        return names(examine(replace(loaded, policy=policy), NOW, texts={}))

    assert timed(NOW) == ["time-over"]
    assert timed(NOW + timedelta(seconds=1)) == []


def test_every_lint_has_a_case():
    """A lint that nothing triggers would be none; `time-over` has a test of its own."""
    assert {case[0] for case in CASES} | {"time-over"} == set(LINTS)


def test_exceptions_are_not_forgotten_when_rules_are_compared():
    """Where an exception sets the stricter rule aside, the weaker one decides."""
    text = house(rule(), rule("doubt", "{toxicity.threat: 0.8}", "review"), CARD)
    assert "overlapping-thresholds" in names(look(text))
    assert names(look(text, **exemption(datetime(2027, 1, 1, tzinfo=UTC)))) == []


# --- comments --------------------------------------------------------------------------------------------------------

BARE = house(rule(title="", basis=""), CARD)


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("  - id: threat", "  - id: threat # lint: allow no-title - plain", ["no-basis"]),
        ("  - id: threat", "  # lint: allow no-title, no-basis - plain", []),
        ("  - id: threat", "  # lint: allow no-title - plain\n  # lint: allow no-basis: in the handbook", []),
        ("  - id: threat", "  # lint: allow no-title - plain\n  # another remark", ["no-basis"]),
        ("  - id: threat", "  - id: threat # lint: allow no-title", ["bare-allowance", "no-basis", "no-title"]),
        ("  - id: threat", "  - id: threat # lint: allow no-titel - plain", ["bare-allowance", "no-basis", "no-title"]),
        ("rules:", "rules: # lint: allow no-title - plain", ["no-basis", "no-title", "unused-allowance"]),
        (
            "    basis: House rules",
            "    basis: House rules # lint: allow no-title - other",
            ["no-basis", "no-title", "unused-allowance"],
        ),
    ],
)
def test_a_comment_with_a_reason_allows_findings_of_its_place(old, new, left):
    """On the line of the finding or its rule, or alone right above it."""
    whole = new if old in new else f"{new}\n{old}"
    report = look(BARE.replace(old, whole, 1))
    assert sorted(names(report)) == left
    assert {one.allowed for one in report.allowed} <= {"plain", "in the handbook"}


def test_a_comment_of_another_file_allows_nothing():
    """Line numbers alone do not say where a comment stands."""
    loaded = read_policy(BARE, file="house.yaml")
    lines = ["# lint: allow no-title, no-basis - elsewhere"] * 40
    assert {"no-title", "no-basis"} <= set(names(examine(loaded, NOW, texts={"parent.yaml": lines})))


# --- the whole ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", packs())
def test_packs_have_no_errors_and_no_warnings(pack, real_parts):
    """What comes with genguard sets an example."""
    report = examine(open_policy(pack), datetime.now(UTC))
    assert [str(one) for one in report.findings if one.lint.level is not Level.ADVICE] == []


def test_lint_loads_no_model_and_takes_no_time():
    """A fresh interpreter lints the enterprise pack in half a second of its own time, or ten times that on a slow machine."""
    script = """
import sys, time
from datetime import UTC, datetime
start = time.process_time()
from policies import open_policy
from policies.lint import examine
examine(open_policy("enterprise"), datetime.now(UTC))
heavy = {"torch", "transformers", "spacy", "presidio_analyzer", "numpy", "detoxify", "onnxruntime"} & set(sys.modules)
print(time.process_time() - start, *heavy)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    seconds, *heavy = done.stdout.split()
    assert heavy == []
    assert float(seconds) < 5


def test_many_rules_end_in_a_moment():
    """Comparing each rule with each other stays within bounds."""
    labels = [label for label in TOXICITY if label != "toxicity"]
    many = [rule(f"r{n}", f"{{toxicity.{labels[n % len(labels)]}: 0.{100 + n}, tenant: t{n}}}", tests="") for n in range(120)]
    start = time.process_time()
    look(house(*many, CARD))
    assert time.process_time() - start < 10


def test_names_are_kebab_case_and_every_lint_says_why():
    """For people, for comments and for code hosts."""
    for one in LINTS.values():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.name)
        assert one.summary.endswith(".")
        assert len(one.why) > 60


def test_two_lints_of_one_name_are_refused():
    """A name stands for one kind of mistake in every comment."""
    with pytest.raises(ValueError, match="registered twice"):
        lint("no-title", Level.ADVICE, "Again.", why="It is there already.")(lambda _: ())


def test_the_page_of_lints_is_current():
    """`python -m policies.lint.page` writes it."""
    assert FILE.read_text("utf-8") == page()


def test_mistakes_of_loading_are_findings_too():
    """With their places and lines; no comment allows them."""
    text = PLAIN.replace("CREDIT_CARD", "CREDIT_CRAD  # lint: allow load - no")
    text = text.replace("{pii: CREDIT_CRAD  # lint: allow load - no}", "{pii: CREDIT_CRAD}  # lint: allow load - no")
    with pytest.raises(PolicyFileError) as refused:
        read_policy(text, file="house.yaml")
    report = mistaken(refused.value, "house.yaml")
    assert names(report) == ["load"]
    assert report.policy is None
    assert "CREDIT_CRAD" in report.findings[0].quote
    assert report.findings[0].pointer.endswith("^")
