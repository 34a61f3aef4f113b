"""Measuring checks: the real ones over small files made up for this, and checks that fail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from evaluation.reader import Row
from evaluation.run import BATCH, Plan, evaluate
from evaluation.subject import ANY, Subject, from_policy, narrowed, registered
from guard.errors import InputError, ModelError
from guard.rules import CheckSpec
from guard.types import Content, Examples, Finding, Modality, Scan, Span
from policies import loads

POLICY = """policy: desk
version: 3
status: live
checks:
  tox: {use: toxicity, window_tokens: 48}
  pii: {use: pii}
  works: {use: image_match, bank: protected-works}
  quiet: {use: toxicity}
rules:
  - {id: a, when: {tox.insult: 0.7}, action: block, category: harassment}
  - {id: b, when: {any: [{tox.insult: 0.6}, {tox.threat: 0.3}]}, action: review, category: harassment}
  - {id: c, when: {all: [{not: {tox.obscene: 0.2}}, {stage: output}, {pii: [CREDIT_CARD]}]}, action: block, category: privacy}
  - {id: d, when: {works: matched}, action: block, category: intellectual_property}
"""


class Scorer:
    """Scores a text by the number it ends with; some texts make it fail."""

    version, digest, blocking, modalities = "1", "", True, frozenset({Modality.TEXT})
    labels: ClassVar = {"bad": "harassment", "worse": "hate"}
    examples = Examples((), ())

    def __init__(self, broken: str = "", partly: str = "", trouble: str = "") -> None:
        self.broken, self.partly, self.trouble, self.sizes = broken, partly, trouble, []

    def load(self) -> None:
        if self.trouble:
            raise ModelError(self.trouble)

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        self.sizes.append(len(batch))
        if self.broken and any(self.broken in content.text for content in batch):
            raise RuntimeError(f"cannot read {batch[0].text}")
        return [self.scan(content.text) for content in batch]

    def scan(self, text: str) -> Scan:
        label, score = text.split()[-2:]
        read = len(text) - 1 if self.partly and self.partly in text else len(text)
        found = (Finding("harassment", label, int(score), Span(0, 3)),) if int(score) else ()
        return Scan(found, Span(0, read))


def subject(check: Scorer, **thresholds: int) -> Subject:
    return Subject(CheckSpec("scorer", "scorer"), check, thresholds or {ANY: 500}, "default")


def rows(*pairs: tuple[str | None, object]) -> list[Row]:
    return [Row(number, text, label) for number, (text, label) in enumerate(pairs, start=1)]


MIXED = rows(("one bad 900", 1), ("two bad 400", 1), ("three worse 600", 0), ("four bad 0", 0))


def test_figures_of_a_small_file_by_hand():
    """Three of four pairs in order; one of two found; one of two negatives flagged."""
    report = evaluate(subject(Scorer()), MIXED, Plan(false_positive_rate=0.0))
    summary = report.summary
    assert (summary["n"], summary["rows"], summary["positives"], summary["errors"]) == (4, 4, 2, 0)
    assert (summary["roc_auc"], summary["precision"], summary["recall"], summary["f2"]) == (0.75, 0.5, 0.5, 0.5)
    assert (summary["fp_per_1000"], summary["threshold"], summary["threshold_source"]) == (500, 0.5, "default")
    assert summary["ece"] == pytest.approx((0.1 + 0.6 + 0.6 + 0) / 4)
    assert summary["chosen"]["threshold"] == 0.601
    assert (summary["chosen"]["recall"], summary["chosen"]["fp_per_1000"]) == (0.5, 0)
    assert summary["texts_per_s"] > 0
    assert 0 < summary["latency_ms"]["median"] <= summary["latency_ms"]["p95"]
    assert summary["reasons"] == {}
    json.dumps(summary)


def test_a_finding_narrows_scores_and_threshold_to_one_label():
    """Other labels no longer count; a label that the check does not have is refused."""
    summary = evaluate(narrowed(subject(Scorer()), "bad", 0.4), MIXED, Plan()).summary
    assert (summary["roc_auc"], summary["precision"], summary["recall"]) == (1, 1, 1)
    assert (summary["thresholds"], summary["threshold_source"]) == ({"bad": 0.4}, "given")
    with pytest.raises(InputError, match="no label 'good', expected one of: bad, worse"):
        narrowed(subject(Scorer()), "good", None)
    for threshold in (0.0, -1, 1.01, float("nan")):
        with pytest.raises(InputError, match="more than 0 and at most 1"):
            narrowed(subject(Scorer()), None, threshold)


def test_labels_of_a_policy_have_thresholds_of_their_own():
    """Then there is no one threshold, and a text is flagged when any label reaches its own."""
    summary = evaluate(subject(Scorer(), bad=950, worse=550), MIXED, Plan()).summary
    assert summary["threshold"] is None
    assert "different thresholds" in summary["reasons"]["threshold"]
    assert (summary["recall"], summary["fp_per_1000"]) == (0, 500)


def test_a_row_that_fails_is_an_error_and_never_clean():
    """Its neighbours are measured; why it failed is told without its text."""
    secret = "a secret sentence bad 0"
    given = [*MIXED, *rows((secret, 0), (None, 1), ("no label bad 0", None), ("half bad 0", 0), ("x" * 100_001, 0))]
    report = evaluate(subject(Scorer(broken="secret", partly="half")), given, Plan())
    assert (report.summary["n"], report.summary["errors"], report.summary["rows"]) == (4, 5, 9)
    assert report.summary["roc_auc"] == 0.75
    assert report.summary["error_reasons"] == {
        "failed: RuntimeError": 1,
        "no text": 1,
        "no label": 1,
        "failed: it read only a part": 1,
        "text of more than 50000 characters": 1,
    }
    assert "secret" not in json.dumps(report.summary)
    assert "secret" not in repr((report, given))


def test_nothing_measured_has_no_figures():
    """All rows failed: no figure, and a reason for each."""
    summary = evaluate(subject(Scorer(broken="bad")), rows(("one bad 1", 1), ("two bad 1", 0)), Plan()).summary
    assert (summary["n"], summary["errors"]) == (0, 2)
    for name in ("roc_auc", "average_precision", "precision", "recall", "f2", "fp_per_1000", "ece", "texts_per_s"):
        assert summary[name] is None
        assert summary["reasons"][name] == "no rows were measured"


def test_a_file_of_one_class_says_why_figures_are_missing():
    """False positives among harmless texts can be measured all the same."""
    summary = evaluate(subject(Scorer()), rows(("one bad 900", 0), ("two bad 0", 0)), Plan(false_positive_rate=0.5)).summary
    assert (summary["roc_auc"], summary["fp_per_1000"]) == (None, 500)
    assert "one class" in summary["reasons"]["roc_auc"]
    assert summary["chosen"]["threshold"] == 0.001
    summary = evaluate(subject(Scorer()), rows(("one bad 900", 1)), Plan(false_positive_rate=0.5)).summary
    assert summary["chosen"] == {"rate": 0.5, "threshold": None, "reason": "no negatives"}


def test_texts_go_through_in_batches_with_progress():
    """Full batches, then one by one for the latency."""
    check, seen = Scorer(), []
    given = rows(*((f"row bad {number}", number % 2) for number in range(150)))
    evaluate(subject(check), given, Plan(), seen.append)
    assert seen == [64, 128, 150]
    assert check.sizes[:4] == [1, BATCH, BATCH, 22]


def test_a_check_that_cannot_be_loaded_is_our_failure():
    """Not a file full of errors."""
    with pytest.raises(ModelError, match="no weights there"):
        evaluate(subject(Scorer(trouble="no weights there")), MIXED, Plan())


def test_a_rate_that_is_none_and_a_map_without_spans_are_refused():
    """Before anything is measured."""
    for plan in (Plan(false_positive_rate=1.5), Plan(renamed={"A": "B"})):
        with pytest.raises(InputError):
            evaluate(subject(Scorer()), MIXED, plan)


# --- what is measured --------------------------------------------------------------------------------------------------


def test_a_policys_check_has_its_parameters_and_its_rules_thresholds():
    """The lowest threshold of a label counts; what stands under `not`, and what is asked of other checks, does not."""
    policy = loads(POLICY)
    found = from_policy(policy, "tox", {})
    assert found.thresholds == {"insult": 600, "threat": 300}
    assert found.source == "policy desk version 3"
    assert dict(found.spec.parameters) == {"window_tokens": 48}
    assert from_policy(policy, "tox", {"window_tokens": "64"}).spec.parameters["window_tokens"] == 64
    assert from_policy(policy, "pii", {}).thresholds == {"CREDIT_CARD": 0}
    unasked = from_policy(policy, "quiet", {})
    assert unasked.thresholds == {ANY: 500}
    assert "no rule" in unasked.source
    with pytest.raises(InputError, match="no check 'toxicity', expected one of: pii, quiet, tox"):
        from_policy(policy, "toxicity", {})
    with pytest.raises(InputError, match="expected a check that reads text"):
        from_policy(policy, "works", {})


def test_parameters_are_read_by_their_types():
    """Numbers, words, and lists with commas or as JSON; weak scores are kept for the ranking."""
    assert registered("toxicity", {}).spec.parameters == {"report_from": 0}
    assert registered("toxicity", {"report_from": "200"}).spec.parameters == {"report_from": 200}
    for languages in ("en,zh", '["en", "zh"]'):
        assert registered("pii", {"languages": languages}).spec.parameters == {"languages": ("en", "zh")}
    with pytest.raises(InputError, match="no parameter 'colour', expected one of: model"):
        registered("toxicity", {"colour": "red"})
    with pytest.raises(InputError, match="'window_tokens' that does not fit"):
        registered("toxicity", {"window_tokens": "many"})
    with pytest.raises(InputError, match="reads image"):
        registered("image_match", {})
    with pytest.raises(InputError, match="no check 'nonsense', expected one of: "):
        registered("nonsense", {})


def test_secrets_among_parameters_are_not_reported():
    """Reports are passed on."""
    one = subject(Scorer())
    one = replace(one, spec=replace(one.spec, parameters={"api_key": "hunter2", "window_tokens": 64}))
    assert evaluate(one, MIXED, Plan()).summary["parameters"] == {"api_key": "***", "window_tokens": 64}


# --- the real checks ---------------------------------------------------------------------------------------------------


def test_spans_of_personal_data_are_measured_by_type():
    """Found exactly, found as another type, and missed; types the check does not have are named."""

    def span(text: str, part: str, kind: str) -> dict[str, object]:
        return {"entity_type": kind, "start_position": text.index(part), "end_position": text.index(part) + len(part)}

    card, mail = "My card is 4111 1111 1111 1111, thanks.", "Please write to maria@example.com today."
    both, none = "Send 4111 1111 1111 1111 to maria@example.com or to room 7.", "Good morning to everyone here."
    given = rows(
        (card, [span(card, "4111 1111 1111 1111", "CREDIT_CARD")]),
        (mail, json.dumps([span(mail, "maria@example.com", "MAIL")])),
        (both, [span(both, "4111 1111 1111 1111", "CREDIT_CARD"), span(both, "room 7", "ROOM")]),
        (none, "[]"),
    )
    check = registered("pii", {})
    summary = evaluate(check, given, Plan(renamed={"MAIL": "EMAIL_ADDRESS"})).summary
    assert (summary["level"], summary["n"], summary["positives"]) == ("spans", 4, 3)
    assert summary["spans"]["overlap"] == {
        "precision": 0.75,
        "recall": 0.75,
        "f2": 0.75,
        "found": 4,
        "expected": 4,
        "common": 3,
    }
    assert (summary["precision"], summary["recall"], summary["f2"]) == (0.75, 0.75, 0.75)
    assert summary["spans"]["by_type"]["CREDIT_CARD"]["exact"]["f2"] == 1
    assert summary["spans"]["by_type"]["ROOM"]["overlap"]["recall"] == 0
    assert summary["spans"]["unknown_types"] == ["ROOM"]
    assert (summary["roc_auc"], summary["fp_per_1000"]) == (1, 0)
    unmapped = evaluate(check, given, Plan()).summary["spans"]
    assert unmapped["overlap"]["common"] == 2
    assert unmapped["any_type"]["overlap"]["common"] == 3
    alone = evaluate(narrowed(check, "CREDIT_CARD", None), given, Plan()).summary
    assert (alone["positives"], alone["recall"], alone["precision"]) == (2, 1, 1)
    assert alone["spans"]["left_out_types"] == ["MAIL", "ROOM"]
