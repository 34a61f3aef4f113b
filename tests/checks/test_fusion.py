"""Several checks as one: what the scores become, what is recorded of the members, and what their failures do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from audit.body import result_from, result_record
from guard.chain import Chain
from guard.checks.fusion import MEMBER_FAILED, Fusion, Rule
from guard.decide import decide
from guard.errors import CheckError, GenguardError, RegistryError
from guard.protocols import Check
from guard.registry import checks
from guard.rules import CheckSpec, Found, Policy, ScoreAtLeast
from guard.rules import Rule as PolicyRule
from guard.types import Action, CheckResult, Content, Context, Modality, Region, Scan, Span, Stage, Status
from policies import loads
from policies.mistake import PolicyFileError
from tests.fakes import FakeCheck, ImageCheck, UnloadableCheck, finding, text
from tests.services import Service, moderation, serving
from tests.tiny_models import HARMLESS, THREATS, threat_classifier

PLACE = Span(0, 3)
WEIGHED = "a 900 (weight 1), b 500 (weight 1), c 0 (weight 2)"
LABELS = {"threat": "violence", "insult": "harassment"}


class Scored(FakeCheck):
    """Reports the given findings of every text: (label, score), placed where told."""

    def __init__(self, *scores: tuple[str, Any], where: Span | None = PLACE, labels: Mapping[str, str] = LABELS) -> None:
        super().__init__()
        self.labels, self.scores, self.where = labels, scores, where

    def scan(self, content: Content) -> Scan:
        found = tuple(finding(label, score, self.where, self.labels.get(label, "hate")) for label, score in self.scores)
        return Scan(found, Span(0, content.length))


class Broken(Scored):
    """Fails on every text that holds `trigger`, quoting it."""

    def __init__(self, trigger: str = "", **fields: Any) -> None:
        super().__init__(**fields)
        self.trigger = trigger

    def scan(self, content: Content) -> Scan:
        if self.trigger in content.text:
            raise ValueError(f"cannot read {content.text!r}")
        return super().scan(content)


class Awaited(Scored):
    """The same, behind a network."""

    blocking = False

    async def __call__(self, batch: Any, /) -> Any:
        await asyncio.sleep(0)
        return super().__call__(batch)


def fused(
    how: Any = "max", by: Any = "label", weights: Mapping[str, float] | None = None, quorum: int | None = None, **members: Check
) -> Fusion:
    rule = Rule(how, by, weights or dict.fromkeys(members, 1.0), 500, 100)
    return Fusion(members, dict.fromkeys(members, "scored"), rule, quorum)


def ask(check: Check, *contents: Content) -> list[Scan]:
    answer = check(contents or [text("some text")])
    return list(asyncio.run(_awaited(answer)) if not check.blocking else answer)  # type: ignore[arg-type]


async def _awaited(answer: Any) -> Any:
    return await answer


def scores(scan: Scan) -> dict[str, int]:
    return {one.label: one.score for one in scan.findings}


def again(reason: str) -> int:
    """The fused score, computed from what is recorded of it."""
    weights = [float(weight or 1) for _, _, weight in re.findall(r"(\S+) (\d+)(?: \(weight ([\d.]+)\))?(?=[,;]|$)", reason)]
    found = [int(score) for _, score, _ in re.findall(r"(\S+) (\d+)(?: \(weight ([\d.]+)\))?(?=[,;]|$)", reason)]
    if reason.startswith("highest"):
        return max(found)
    if votes := re.match(r"share of votes from (\d+)", reason):
        found = [1000 * (score >= int(votes[1])) for score in found]
    return round(sum(w * s for w, s in zip(weights, found, strict=True)) / sum(weights))


# --- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "weights", "score", "reason"),
    [
        ("max", None, 900, "highest of a 900, b 500, c 0"),
        ("mean", None, 467, "mean of a 900, b 500, c 0"),
        ("weighted", {"a": 2, "b": 1, "c": 0.5}, 657, "weighted mean of a 900 (weight 2), b 500 (weight 1), c 0 (weight 0.5)"),
        ("vote", None, 667, "share of votes from 500 of a 900, b 500, c 0"),
        (
            "vote",
            {"a": 1, "b": 1, "c": 2},
            500,
            "share of votes from 500 of a 900 (weight 1), b 500 (weight 1), c 0 (weight 2)",
        ),
    ],
)
@pytest.mark.parametrize("kind", [Scored, Awaited])
def test_scores_are_combined_and_the_members_are_on_record(
    how: str, weights: Any, score: int, reason: str, kind: type[Scored]
) -> None:
    """A member that knows the label and does not report it counts with 0. The reason alone gives the score again."""
    check = fused(how, weights=weights, a=kind(("threat", 900)), b=Scored(("threat", 500)), c=Scored())
    (one,) = ask(check)[0].findings
    assert (one.label, one.category, one.score, one.reason) == ("threat", "violence", score, reason)
    assert again(one.reason) == score


def test_only_members_that_know_a_label_count_for_it() -> None:
    """A mean is not lowered by a model that never looks for it."""
    check = fused("mean", a=Scored(("threat", 800)), b=Scored(("threat", 600), labels={"threat": "violence"}), c=Scored())
    assert scores(ask(check)[0]) == {"threat": 467}
    other = Scored(("insult", 900), labels={"insult": "harassment", "word": "privacy"})
    check = fused("mean", a=Scored(("insult", 500)), b=other, c=Scored(labels={"threat": "violence"}))
    assert scores(ask(check)[0]) == {"insult": 700}


def test_models_with_other_labels_are_combined_by_category() -> None:
    """The highest of a member's labels in the category is its score."""
    one = Scored(("threat", 300), ("rage", 700), labels={"threat": "violence", "rage": "violence"})
    check = fused("mean", by="category", a=one, b=Scored(("gore", 500), labels={"gore": "violence"}))
    assert dict(check.labels) == {"violence": "violence"}
    assert [(f.label, f.reason) for f in ask(check)[0].findings] == [("violence", "mean of a 700, b 500")]


def test_every_place_that_a_member_found_is_kept() -> None:
    """So that a redaction cuts all of them; weak findings place nothing."""
    check = fused(
        a=Scored(("threat", 900), where=Span(0, 3)), b=Scored(("threat", 400), where=Span(5, 9)), c=Scored(("threat", 20))
    )
    found = ask(check)[0].findings
    assert {(one.where, one.score) for one in found} == {(Span(0, 3), 900), (Span(5, 9), 900)}
    assert found[0].where == Span(0, 3)


def test_images_are_fused_too() -> None:
    """What all members read is what was read."""
    from tests.fakes import image, png

    check = fused(a=ImageCheck(), b=ImageCheck())
    assert check.modalities == {Modality.IMAGE}
    (scan,) = ask(check, image(png(8, 8, (0, 0, 0))))
    assert (scan.scanned, scan.findings[0].where) == (Region(0, 0, 8, 8), Region(0, 0, 8, 8))


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Scored, Awaited])
def test_a_member_that_fails_fails_the_fusion(kind: type[Scored]) -> None:
    """By name, without the text that it quoted."""
    with pytest.raises(CheckError) as caught:
        ask(fused(a=kind(("threat", 900)), b=Broken()), text("my secret"))
    assert str(caught.value) == "member 'b' failed: ValueError"


@pytest.mark.parametrize(
    "member",
    [Scored(("threat", 0.9)), Scored(("threat", 1001)), Scored(("other", 900)), Scored(("threat", True))],
    ids=["float", "range", "label", "bool"],
)
def test_a_member_that_answers_what_cannot_be_true_has_failed(member: Scored) -> None:
    """As the chain would find of it alone."""
    with pytest.raises(CheckError, match="member 'b' failed: CheckError: found a"):
        ask(fused(a=Scored(), b=member))


@pytest.mark.parametrize("kind", [Scored, Awaited])
def test_a_quorum_lets_a_member_fail_and_records_which(kind: type[Scored]) -> None:
    """The fused score says without whom it is; a finding says why."""
    check = fused("mean", quorum=2, a=kind(("threat", 900)), b=Broken("bad"), c=Scored(("threat", 500)))
    one, missed = ask(check, text("bad text"))[0].findings
    assert (one.score, one.reason) == (700, "mean of a 900, c 500; without b")
    assert again(one.reason) == 700
    assert (missed.label, missed.category, missed.score) == (MEMBER_FAILED, "operation", 0)
    assert missed.reason == "b failed: ValueError"
    assert MEMBER_FAILED in check.labels
    assert scores(ask(check, text("good text"))[0]) == {"threat": 467}


def test_too_few_members_fail_the_fusion() -> None:
    """The quorum holds for each label among those who know it: one that nobody measured is not clean."""
    with pytest.raises(CheckError, match="member 'a' failed"):
        ask(fused(quorum=2, a=Broken(), b=Broken(), c=Scored()))
    alone = Broken(labels={"threat": "violence", "only": "hate"})
    with pytest.raises(CheckError, match="member 'c' failed"):
        ask(fused(quorum=1, a=Scored(), b=Scored(), c=alone))


def test_a_member_that_cannot_be_loaded_fails_the_load() -> None:
    """Whatever the quorum: that is a setting to mend."""
    check = fused(quorum=1, a=Scored(labels={"word": "privacy"}), b=UnloadableCheck())
    with pytest.raises(CheckError, match="member 'b' could not be loaded: ModelError: no model folder"):
        check.load()


def run(check: Check, *contents: Content, on_failure: Action = Action.BLOCK) -> list[tuple[CheckResult, Action]]:
    """What the chain records, and the verdict, under one rule on `threat`."""
    spec = CheckSpec("it", "fusion", deadline_ms=30_000, on_failure=on_failure, modalities=check.modalities)
    rules = (
        PolicyRule("threat", ScoreAtLeast("it", "threat", 500), Action.BLOCK, "violence"),
        PolicyRule("missed", Found("it", frozenset({MEMBER_FAILED})), Action.REVIEW, "operation"),
    )
    policy = Policy(id="p", version=1, status="live", revision="", document="", checks=(spec,), rules=rules)
    results = [result for (result,) in asyncio.run(Chain(policy, {"it": check}).run(contents))]
    contexts = [Context(Stage.OUTPUT, Modality.TEXT, "", length=content.length) for content in contents]
    return [(result, decide(policy, (result,), context).action) for result, context in zip(results, contexts, strict=True)]


@pytest.mark.parametrize("kind", [Scored, Awaited])
def test_in_the_chain_one_bad_text_does_not_fail_its_neighbours(kind: type[Scored]) -> None:
    """Without a quorum it blocks; with one it is judged by the others, and a rule may ask for that."""
    batch = [text("good text"), text("bad text")]
    (good, action), (bad, blocked) = run(fused(a=kind(), b=Broken("bad")), *batch)
    assert (good.status, action) == (Status.OK, Action.ALLOW)
    assert (bad.status, bad.error, blocked) == (Status.FAILED, "CheckError: member 'b' failed: ValueError", Action.BLOCK)
    (_, action), (missed, held) = run(fused(quorum=1, a=kind(), b=Broken("bad")), *batch)
    assert (action, missed.status, held) == (Action.ALLOW, Status.OK, Action.REVIEW)


def test_what_is_recorded_survives_the_ledger() -> None:
    """Members' scores, failures, versions: as they were."""
    ((result, _),) = run(fused("mean", quorum=2, a=Scored(("threat", 900)), b=Broken(), c=Scored()), text("bad text"))
    assert result_from(result_record(result)) == result
    assert result.version == "code 1; a: scored 1; b: scored 1; c: scored 1"
    assert result.findings[0].reason == "mean of a 900, c 0; without b"


def test_a_part_that_only_some_members_read_is_not_read() -> None:
    """The chain then treats it as any check that read a part."""
    from tests.fakes import PartialCheck

    (scan,) = ask(fused(a=FakeCheck(), b=PartialCheck(4)), text("some text"))
    assert scan.scanned == Span(0, 4)


# --- real members, from a policy -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return threat_classifier(tmp_path_factory.mktemp("models") / "threats")


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(moderations=moderation) as found:
        yield found


def document(model: Path, url: str, **changes: str) -> str:
    changes = {"how": "mean", "second": "use: moderation_endpoint", **changes}
    return f"""policy: p
version: 1
checks:
  harm:
    use: fusion
    how: {changes["how"]}
    by: category
    members:
      model:
        use: classifier
        model: {model}
        labels: {{THREAT: violence}}
      service:
        {changes["second"]}
        base_url: {url}
        model: omni
        timeout_ms: 20000
    deadline_ms: 30000
rules:
  - id: violence
    when: {{harm.violence: 0.7}}
    action: block
"""


def test_a_model_and_a_service_from_a_policy_file(model: Path, service: Service) -> None:
    """Side by side; the fused score is the mean of what each of them says alone."""
    policy = loads(document(model, service.url))
    chain = Chain(policy)
    assert asyncio.run(chain.load()) == {}
    results = [result for (result,) in asyncio.run(chain.run([text(THREATS[0]), text(HARMLESS[0])]))]
    assert [result.status for result in results] == [Status.OK, Status.OK]
    one = next(found for found in results[0].findings if found.label == "violence")
    told = re.fullmatch(r"mean of model (\d+), service 930", one.reason)
    assert told
    assert one.score == round((int(told[1]) + 930) / 2) > 700
    assert results[1].findings == ()
    assert len(results[0].digest) == 64
    assert "model: classifier unversioned, code 1; service: moderation_endpoint omni, code 1" in results[0].version
    service.statuses = [401]
    ((failed,),) = asyncio.run(chain.run([text(HARMLESS[0])]))
    assert failed.status is Status.FAILED
    assert "member 'service' failed: EndpointError" in failed.error


def test_a_policy_has_the_same_revision_however_it_is_loaded(model: Path) -> None:
    """Its document builds the same members again, defaults of theirs left out as written."""
    from policies.document import from_document

    policy = loads(document(model, "http://localhost:1/v1"))
    assert from_document(policy.document) == policy
    members = policy.checks[0].parameters["members"]
    assert members["model"] == {"use": "classifier", "model": str(model), "labels": {"THREAT": "violence"}}
    assert Chain(policy).checks["harm"].labels["violence"] == "violence"


@pytest.mark.parametrize(
    ("old", "new", "line", "fragment"),
    [
        ("use: moderation_endpoint", "use: moderation", 14, "unknown check 'moderation'.*did you mean 'moderation_endpoint'"),
        ("use: moderation_endpoint", "used: moderation_endpoint", 13, "no key 'use' under 'service'"),
        ("timeout_ms: 20000", "timeout: 20000", 17, "unknown key 'timeout' for 'moderation_endpoint'"),
        ("timeout_ms: 20000", "timeout_ms: fast", 17, "'fast' for parameter 'timeout_ms', expected a whole number"),
        ("timeout_ms: 20000", "deadline_ms: 20000", 17, "unknown key 'deadline_ms' for 'moderation_endpoint'"),
        ("timeout_ms: 20000", "timeout_ms: 0", 14, "timeout_ms is 0, expected 1 to 60000"),
        ("labels: {THREAT: violence}", "labels: {THREATS: violence}", 10, "found 'THREATS', expected one of"),
        ("how: mean", "how: average", 6, "'average' for parameter 'how', expected one of"),
        ("how: mean", "how: weighted", 5, "found no weights, expected one for each of: model, service"),
        ("by: category", "by: label", 5, "no label that two members share"),
    ],
)
def test_mistakes_in_members_are_named_with_their_lines(model: Path, old: str, new: str, line: int, fragment: str) -> None:
    """As those of ordinary checks are."""
    text_of = document(model, "http://localhost:1/v1")
    assert old in text_of
    with pytest.raises(PolicyFileError) as caught:
        loads(text_of.replace(old, new))
    told = str(caught.value).splitlines()
    assert any(one.startswith(f"policy:{line}:") and re.search(fragment, one) for one in told), told


@pytest.mark.parametrize("value", ["[]", "{}", "toxicity", "{a: 1, b: {use: secrets}}", "{a: {use: [1]}, b: {use: secrets}}"])
def test_members_that_are_no_checks_are_refused(value: str) -> None:
    """With what was expected."""
    with pytest.raises(PolicyFileError, match=r"expected a mapping of names to checks|expected a check: `use`"):
        loads(f"""policy: p
version: 1
checks:
  it: {{use: fusion, members: {value}}}
rules:
  - {{id: a, when: {{it: any}}, action: block}}
""")


SECRETS = {"use": "secrets"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"members": {"a": SECRETS}}, "found 1 members, expected at least 2"),
        ({"members": {"A": SECRETS, "b": SECRETS}}, "a member named 'A'"),
        ({"members": {"a": SECRETS, "b": {}}}, "member 'b': found no `use`"),
        ({"members": {"a": SECRETS, "b": {"use": "fusion"}}}, "found a fusion"),
        ({"members": {"a": SECRETS, "b": {"use": "image_match"}}}, "read nothing in common"),
        ({"weights": {"a": 1.0}}, "weights with how 'max'"),
        ({"how": "weighted"}, "no weights"),
        ({"how": "weighted", "weights": {"a": 1.0}}, "expected one for each of: a, b"),
        ({"how": "weighted", "weights": {"a": 1.0, "b": 0.0}}, "weight out of range"),
        ({"how": "weighted", "weights": {"a": 1.0, "b": float("nan")}}, "weight out of range"),
        ({"quorum": 3}, "quorum is 3, expected 1 to 2"),
        ({"vote_from": 0}, "vote_from is 0"),
        ({"report_from": 1001}, "report_from is 1001"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(parameters: dict[str, Any], message: str) -> None:
    """When the policy is read."""
    with pytest.raises(RegistryError, match=message):
        checks.make("fusion", {"members": {"a": SECRETS, "b": SECRETS}, **parameters})


def test_members_that_disagree_on_a_label_are_refused() -> None:
    """One label is one thing."""
    with pytest.raises(RegistryError, match="label 'threat' with category violence and, at member 'b', hate"):
        fused(a=Scored(), b=Scored(labels={"threat": "hate"}))


def test_members_are_asked_to_report_everything(model: Path) -> None:
    """A mean of scores that were left out below a threshold would be wrong; unless the policy wants that."""
    recipe = {"use": "classifier", "model": str(model), "labels": {"THREAT": "violence"}}
    check = checks.make(
        "fusion", {"members": {"a": recipe, "b": {**recipe, "report_from": 900}}, "how": "mean", "report_from": 0}
    )
    check.load()
    (one,) = ask(check, text(HARMLESS[0]))[0].findings
    told = re.fullmatch(r"mean of a (\d+), b 0", one.reason)
    assert told
    assert 0 < int(told[1]) < 100


def test_it_can_be_measured_by_genguard_eval(model: Path) -> None:
    """Its members are given as JSON."""
    import json

    from evaluation.subject import registered

    recipe = {"use": "classifier", "model": str(model), "labels": {"THREAT": "violence"}}
    subject = registered("fusion", {"members": json.dumps({"a": recipe, "b": recipe}), "how": "mean"})
    assert dict(subject.check.labels) == {"THREAT": "violence"}
    with pytest.raises(GenguardError):
        registered("fusion", {"members": "nothing"})
