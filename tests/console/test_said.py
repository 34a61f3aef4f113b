"""What the core says in English has a sentence in every other language, and its own words only in its own sources."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis.strategies import text

from audit.grammar import QueryError, parse
from console.language import LANGUAGES
from console.said import lines, sayings
from guard.conditions import words
from guard.decide import decide
from guard.rules import AllOf, AnyOf, Attribute, Clock, Found, Length, Not, ScoreAtLeast
from guard.types import Action, CheckResult, Context, Finding, Modality, Span, Stage, Status
from policies import loads
from tests.console.forms import ROOT, bare, forms, spoken

OTHERS = [one for one in LANGUAGES if one != "en"]
SPOKEN = (
    *(
        "guard/chain.py",
        "guard/collectors.py",
        "guard/conditions.py",
        "guard/deadline.py",
        "guard/decide.py",
        "guard/endpoint.py",
    ),
    *("guard/following.py", "guard/note.py", "guard/redact.py", "guard/round.py", "guard/trace.py"),
    *("guard/streaming/engine.py", "guard/streaming/pieces.py", "guard/streaming/plan.py", "guard/streaming/window.py"),
    *("audit/conditions.py", "audit/erasure.py", "audit/facets.py", "audit/grammar.py", "audit/history.py", "audit/holds.py"),
    *("audit/query.py", "audit/ranges.py", "audit/retention.py", "audit/review.py", "audit/review_queue.py"),
    *("audit/review_steps.py", "audit/saved.py"),
    *(f"policies/lint/{name}.py" for name in ("checks", "conditions", "examples", "exceptions", "head", "marks", "rules")),
    *(f"policies/lint/{name}.py" for name in ("run", "wording")),
    *(f"policies/{name}.py" for name in ("compare", "compile", "compose", "conditions", "diff", "document", "examples")),
    *(f"policies/{name}.py" for name in ("exceptions", "facts", "gates", "lineage", "lists", "load", "merge", "mistake")),
    *(f"policies/{name}.py" for name in ("moments", "parts", "previews", "rollout", "scores", "signing", "source", "wording")),
    *(f"policies/testing/{name}.py" for name in ("example", "pictures", "released", "scenario", "scores", "seen", "suite")),
    *(f"doctor/{name}.py" for name in ("keys", "ledger", "machine", "models", "policies", "run", "versions")),
    *(f"serving/{name}.py" for name in ("access", "banks", "checkup", "derived", "evidence", "exports", "gate", "held")),
    *(f"serving/{name}.py" for name in ("nearest", "offered", "origin", "review_hook", "reviews", "rollout", "schemas")),
    *(f"serving/{name}.py" for name in ("searches", "shape", "shell", "steering", "stepping", "turnstile", "verification")),
    *(f"serving/{name}.py" for name in ("works", "config/sources", "drafting/history", "drafting/reach")),
    *(f"serving/drafting/{name}.py" for name in ("requests", "routes", "workshop")),
    *(f"serving/identity/{name}.py" for name in ("authenticate", "guesses", "needs", "principals", "routes", "sessions")),
    *(f"console/{name}.py" for name in ("assets", "banks", "decision", "policies", "policy_text", "reviews")),
    *(f"audit/verifier/{name}.py" for name in ("api_keys", "careful", "course", "fingerprints", "heads", "moments", "order")),
    *("audit/banks.py", "audit/verifier/banks.py", "serving/followed_banks.py", "serving/shared_banks.py"),
    *(f"audit/verifier/{name}.py" for name in ("payloads", "report", "stretch", "tiles")),
    "service.py",
)
"""Modules whose sentences pages show, all of them."""
DESCRIBED = ("policies/grammar.py", "policies/mark_schema.py", "policies/schema.py", "policies/suite_schema.py")
"""Modules whose descriptions are shown, too: what can stand in a policy."""
ALSO = (
    *("audit/verify.py", "audit/verifier/postgres.py", "audit/verifier/structure.py"),
    *("audit/review_codes.py", "policies/add_example.py", "policies/lint/registry.py", "policies/testing/measure.py"),
    *("serving/keyhome.py", "serving/redaction.py", "serving/watermarking.py"),
    *(
        "audit/committer.py",
        "audit/database.py",
        "audit/drafts.py",
        "audit/ledger.py",
        "audit/line.py",
        "audit/stores/__init__.py",
    ),
    *(
        "audit/stores/postgres.py",
        "audit/stores/sqlite.py",
        "guard/imaging.py",
        "guard/keyfile.py",
        "guard/marks/font.py",
        "guard/matching/bank.py",
        "guard/models/__init__.py",
    ),
    *("guard/matching/images.py", "guard/pipeline.py", "guard/registry.py", "guard/sound.py", "guard/text/windows.py"),
    *(
        file.relative_to(ROOT).as_posix()
        for name in ("checks", "marks")
        for file in sorted((ROOT / "guard" / name).glob("*.py"))
    ),
)
"""Other modules that sentences come from, of which pages show some: what checks, marks and models say of themselves."""
UNSAID = {
    "file",  # after the name of a key: `composed.toml`
    *("found {}, expected {};", "found the {} {}, expected one of:"),  # read as `found {1}, expected {2}`
    "worker",  # a part of the service, in its log
    "a {} for",  # read as `{1} for {2}`
    *("is at least", ".{} at least"),  # parts of `{1}.{2} {3} is at least {4}` and `{1} at least {2}`
    *("Released with a label", "Released after redaction", "Held for review"),  # with a full stop: `composed.toml`
    *(
        "erase: recorded",
        "erase: content deleted",
        "prune: recorded",
        "prune: unlocked",
        "prune: content dropped",
    ),  # failpoints
    *("genguard signing key", "Bearer", "text/csv; charset=utf-8", "public, max-age=31536000, immutable"),
    *('attachment; filename="{}"', "tenant: shop", "<{} removed>", "ours, changed"),
    *("The ledger and its keys", "Content and how long it is kept", "Generators and models", "Where does this come from?"),
    *("Banks of works", "The service", "Value error,", "Input should be"),  # of the settings' file and its own errors
    "# Settings of genguard, every one at its default. `genguard config example` writes this file.",
    "# It is read from the working folder, or from where --config or GENGUARD_CONFIG says.",
    "# The command line comes first, then GENGUARD_… variables, then this file: port = 8080 is GENGUARD_PORT=8080.",
}
"""Texts of these modules that no page shows."""


def test_every_sentence_of_the_core_has_one_in_every_language() -> None:
    """With the same facts. A new sentence goes into `console/words/LANGUAGE/said`, by its form in the source."""
    wanted = {bare(form): f"{path}: {form}" for path in SPOKEN for form in forms(path) if spoken(form)}
    wanted |= {bare(form): f"{path}: {form}" for path in DESCRIBED for form in forms(path, documented=True) if spoken(form)}
    for language in OTHERS:
        known = {bare(one) for one in lines(language)}
        assert [told for form, told in wanted.items() if form not in known and form not in UNSAID] == []


@pytest.mark.parametrize("language", OTHERS)
def test_no_form_is_of_a_sentence_that_nobody_says_any_more(language: str) -> None:
    """But for those that are put together of parts, and those of other libraries."""
    said = {bare(form) for path in (*SPOKEN, *ALSO) for form in forms(path)}
    said |= {bare(form) for path in DESCRIBED for form in forms(path, documented=True)}
    composed = {**lines(language, "composed"), **lines(language, "foreign")}
    assert [one for one in lines(language) if bare(one) not in said and one not in composed] == []


@pytest.mark.parametrize("language", OTHERS)
def test_forms_and_what_is_said_have_the_same_facts(language: str) -> None:
    """Each once in the form; and none is left out."""
    for form, says in lines(language).items():
        facts = places(form)
        assert facts == [str(one) for one in range(1, len(facts) + 1)], form
        assert set(places(says)) == set(facts), form


def places(form: str) -> list[str]:
    """The numbers of a form's facts."""
    return [name.rstrip("wq") for _, name, _, _ in string.Formatter().parse(form) if name]


WEEKEND = Clock(zone="Europe/Berlin", days=frozenset({5, 6}))
PARTS = {
    words(replace(WEEKEND, hours=(1080, 480))): "星期六、星期日 18:00 至 08:00（Europe/Berlin）",
    words(WEEKEND): "星期六、星期日（Europe/Berlin）",
    words(Clock(hours=(540, 1020))): "09:00 至 17:00（UTC）",
    words(AllOf((ScoreAtLeast("toxicity", "threat", 600), Attribute("stage", ("output",))))): (
        "toxicity.threat 不低于 0.600 且 stage 为 output"
    ),
    words(
        Not(AnyOf((Found("pii", frozenset({"EMAIL", "NAME"})), Length(5, 10))))
    ): "非（pii 发现 EMAIL, NAME 或长度从 5 起，小于 10）",
    words(Clock(since=datetime(2026, 11, 1, 9, tzinfo=UTC))): "自 2026-11-01 09:00 起（UTC）",
    words(Clock(since=datetime(2026, 11, 1, tzinfo=UTC), until=datetime(2026, 12, 1, tzinfo=UTC))): (
        "2026-11-01 00:00 至 2026-12-01 00:00（UTC）"
    ),
    words(Found("secrets")): "secrets 发现任何内容",
}


@pytest.mark.parametrize("english", PARTS)
def test_conditions_are_said_part_by_part(english: str) -> None:
    """What stands between the parts, too."""
    assert sayings("zh").condition(english) == PARTS[english]


POLICY = """\
policy: said
version: 1
checks:
  secrets: {use: secrets}
rules:
  - id: held
    when: {stage: output, secrets: any}
    action: block
    category: crime
"""


def test_verdicts_are_said() -> None:
    """What became of a content, and why: as it was recorded, without the policy."""
    policy, context, zh = loads(POLICY), Context(Stage.OUTPUT, Modality.TEXT, "echo", length=10), sayings("zh")
    found = CheckResult("secrets", "secrets", "1", "", Status.OK, (Finding("crime", "KEY", 900, Span(0, 2)),), Span(0, 10))
    half = replace(found, findings=(), scanned=Span(0, 5))
    told = [zh.say(decide(policy, results, context).explanation) for results in ((found,), (), (half,))]
    assert told == [
        "已拦截。规则 held：stage 为 output；secrets 发现 KEY。",
        "已拦截。规则 check:secrets：secrets：它没有给出结果。",
        "已拦截。规则 check:secrets：secrets：全长 10，它只读了 0 至 5。",
    ]
    assert (
        zh.say(decide(policy, (half,), replace(context, length=5)).explanation)
        == "已放行。1 项检查读完全部内容，没有规则触发。"
    )


def test_every_action_is_said() -> None:
    """With the full stop that explanations have after it."""
    policy, context = loads(POLICY), Context(Stage.OUTPUT, Modality.TEXT, "echo", length=10)
    for action in Action:
        changed = replace(policy, checks=(replace(policy.checks[0], on_failure=action),))
        english = decide(changed, (), context).explanation
        assert english.partition(". ")[0] + "." in lines("zh", "composed"), english


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ("rul:x", "没有名为 'rul' 的筛选条件", "您是否想写 rule？可用的筛选条件："),
        ('"open', "引号没有闭合", ""),
        ("action:blok", "action 不会是 'blok'，应为其中之一：allow, label, redact, review, block", "您是否想写 block？"),
        ("created:soon", "created：得到 'soon'，应为某日、某月、某时刻，或多久以前", "请写 2026-11-22、2026-11、"),
    ],
)
def test_mistakes_in_a_query_are_said(query: str, message: str, hint: str) -> None:
    """Both what is wrong, and what to write instead."""
    with pytest.raises(QueryError) as wrong:
        parse(query)
    assert "个字符处" in sayings("zh").say(wrong.value.plain()) or not wrong.value.query
    assert sayings("zh").say(str(wrong.value)) == message
    assert sayings("zh").say(wrong.value.hint).startswith(hint)


def test_what_somebody_wrote_stays() -> None:
    """In quotation marks, in names, and what no form fits."""
    zh = sayings("zh")
    assert zh.say("unknown filter 'a quotation mark is not closed'") == "没有名为 'a quotation mark is not closed' 的筛选条件"
    assert zh.say("Somebody's own words, as they came.") == "Somebody's own words, as they came."
    assert zh.title("Nothing leaves unread") == "未经读取的内容不放行"
    assert zh.title("limit is 5, expected 1 to 4") == "limit is 5, expected 1 to 4"
    assert sayings("en").say("a quotation mark is not closed") == "a quotation mark is not closed"


@settings(max_examples=100, deadline=None)
@given(text(max_size=200))
def test_any_text_can_be_asked_for(any_text: str) -> None:
    """And comes back as a text."""
    assert isinstance(sayings("zh").say(any_text), str)


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    """Forms are looked for from left to right once: nothing is tried again."""
    for part in ("found a, expected b; ", "'", "not (", " and ", "Rule a: b. ", "a is at least b, "):
        sayings("zh").say(part * 350)
        sayings("zh").condition(part * 350)
