"""The enterprise pack decides what its rules say."""

from __future__ import annotations

import pytest

from guard.decide import decide
from guard.types import Action, CheckResult, Context, Finding, Modality, Region, Span, Stage, Status
from policies import load

TEXT = Context(Stage.OUTPUT, Modality.TEXT, "language", length=40)
PROMPT = Context(Stage.PROMPT, Modality.TEXT, "caller", length=40)
IMAGE = Context(Stage.OUTPUT, Modality.IMAGE, "diffusion", length=4000)
SPAN, REGION = Span(10, 29), Region(0, 0, 64, 64)


def results(context: Context, check: str = "", label: str = "", score: int = 0) -> list[CheckResult]:
    """What the pack's checks answer: nothing found, but for one finding."""
    made = []
    for spec in load("enterprise").checks:
        if spec.applies(context.stage, context.modality):
            place = REGION if context.modality is Modality.IMAGE else SPAN
            found = (Finding("privacy", label, score, place),) if spec.name == check else ()
            whole = REGION if context.modality is Modality.IMAGE else Span(0, context.length)
            made.append(CheckResult(spec.name, spec.use, "1", "", Status.OK, found, whole))
    return made


@pytest.mark.parametrize(
    ("context", "check", "label", "score", "action", "rule"),
    [
        (TEXT, "", "", 0, Action.ALLOW, None),
        (IMAGE, "", "", 0, Action.ALLOW, None),
        (TEXT, "toxicity", "threat", 900, Action.BLOCK, "threat"),
        (PROMPT, "toxicity", "threat", 900, Action.BLOCK, "threat"),
        (TEXT, "toxicity", "threat", 100, Action.ALLOW, None),
        (TEXT, "toxicity", "identity_attack", 900, Action.BLOCK, "identity-attack"),
        (TEXT, "toxicity", "insult", 950, Action.BLOCK, "insult"),
        (PROMPT, "toxicity", "insult", 950, Action.ALLOW, None),  # an angry customer is served all the same
        (TEXT, "pii", "CREDIT_CARD", 1000, Action.REDACT, "account-number"),
        (PROMPT, "pii", "CREDIT_CARD", 1000, Action.REDACT, "account-number"),
        (TEXT, "pii", "EMAIL_ADDRESS", 1000, Action.REDACT, "personal-data"),
        (PROMPT, "pii", "EMAIL_ADDRESS", 1000, Action.ALLOW, None),
        (TEXT, "secrets", "GITHUB_TOKEN", 1000, Action.REDACT, "secret"),
        (PROMPT, "secrets", "PASSWORD", 600, Action.REDACT, "secret"),
        (PROMPT, "injection", "jailbreak", 800, Action.BLOCK, "prompt-injection"),
        (PROMPT, "injection", "injection", 400, Action.ALLOW, None),
        (PROMPT, "unseen", "tags", 1000, Action.REDACT, "hidden-characters"),
        (TEXT, "unseen", "bidi", 500, Action.REDACT, "hidden-characters"),
        (TEXT, "passages", "verbatim", 1000, Action.BLOCK, "protected-text"),
        (TEXT, "passages", "near", 600, Action.REVIEW, "reworded-text"),
        (TEXT, "passages", "cleared", 0, Action.ALLOW, None),
        (IMAGE, "works", "matched", 950, Action.BLOCK, "protected-work"),
    ],
)
def test_the_pack_decides_what_its_rules_say(
    context: Context, check: str, label: str, score: int, action: Action, rule: str | None
) -> None:
    """One finding at a time, in prompts, texts and images."""
    verdict = decide(load("enterprise"), results(context, check, label, score), context)
    assert verdict.action is action
    assert [fired.rule for fired in verdict.fired] == ([rule] if rule else [])


def test_every_blocking_rule_tells_the_person_in_both_languages() -> None:
    """Nobody is left without a reason."""
    for rule in load("enterprise").rules:
        assert rule.title
        assert rule.basis
        if rule.action is Action.BLOCK:
            assert [language for language, _ in rule.message] == ["en", "zh"]


def test_the_pack_loads_with_the_parts_that_genguard_ships(real_parts: None) -> None:
    """Its checks, labels, parameters and mark are the real ones'."""
    policy = load("enterprise")
    uses = ["prompt_injection", "text_match", "pii", "secrets", "toxicity", "invisible_characters", "image_match"]
    assert [spec.use for spec in policy.checks] == uses
    assert {mark.use for mark in policy.marks} == {"watermark", "iptc"}
