"""What each pack decides of one finding: the action, and the rule that says so."""

from __future__ import annotations

import pytest

from guard.decide import decide
from guard.types import Action, CheckResult, Context, Finding, Modality, Region, Span, Stage, Status
from tests.packs.measuring import NAMES, opened

REPLY = Context(Stage.OUTPUT, Modality.TEXT, "language", length=40)
PROMPT = Context(Stage.PROMPT, Modality.TEXT, "caller", length=40)
IMAGE = Context(Stage.OUTPUT, Modality.IMAGE, "diffusion", length=4000)
ALLOW, REDACT, REVIEW, BLOCK = Action.ALLOW, Action.REDACT, Action.REVIEW, Action.BLOCK


def results(pack: str, context: Context, check: str = "", label: str = "", score: int = 0) -> list[CheckResult]:
    """What the pack's checks answer: nothing found, but for one finding."""
    whole = Region(0, 0, 64, 64) if context.modality is Modality.IMAGE else Span(0, context.length)
    return [
        CheckResult(
            spec.name,
            spec.use,
            "1",
            "",
            Status.OK,
            (Finding("privacy", label, score, whole),) if spec.name == check else (),
            whole,
        )
        for spec in opened(pack).policy.checks
        if spec.applies(context.stage, context.modality)
    ]


@pytest.mark.parametrize(
    ("pack", "context", "check", "label", "score", "action", "rules"),
    [
        ("strict", PROMPT, "toxicity", "insult", 550, BLOCK, ["insult"]),
        ("strict", REPLY, "toxicity", "threat", 360, BLOCK, ["threat"]),
        ("strict", PROMPT, "pii", "EMAIL_ADDRESS", 950, REDACT, ["personal-data"]),
        ("strict", PROMPT, "secrets", "PASSWORD", 700, REDACT, ["secret-in-prompt"]),
        ("strict", REPLY, "secrets", "PASSWORD", 700, BLOCK, ["secret-in-reply"]),
        ("strict", REPLY, "unseen", "tags", 1000, BLOCK, ["hidden-message"]),
        ("strict", REPLY, "unseen", "zero_width", 800, REDACT, ["hidden-characters"]),
        ("strict", REPLY, "passages", "near", 600, BLOCK, ["protected-text"]),
        ("strict", IMAGE, "works", "not_matchable", 0, REVIEW, ["unmatchable-image"]),
        ("child-safety", PROMPT, "toxicity", "insult", 700, REVIEW, ["abuse-in-prompt"]),
        ("child-safety", REPLY, "toxicity", "insult", 700, BLOCK, ["abuse"]),
        ("child-safety", REPLY, "toxicity", "obscene", 400, BLOCK, ["obscenity"]),
        ("child-safety", PROMPT, "pii", "PERSON", 900, REDACT, ["personal-data"]),
        ("child-safety", PROMPT, "pii", "LOCATION", 900, ALLOW, []),
        ("child-safety", PROMPT, "injection", "jailbreak", 450, BLOCK, ["prompt-injection"]),
        ("privacy", PROMPT, "pii", "PERSON", 900, REDACT, ["name"]),
        ("privacy", REPLY, "pii", "CREDIT_CARD", 1000, REDACT, ["payment"]),
        ("privacy", REPLY, "pii", "UK_NHS", 550, REDACT, ["health-number"]),
        ("privacy", REPLY, "secrets", "API_KEY", 700, REDACT, ["secret"]),
        ("copyright", REPLY, "passages", "verbatim", 1000, BLOCK, ["protected-text"]),
        ("copyright", REPLY, "passages", "near", 600, REVIEW, ["reworded-text"]),
        ("copyright", REPLY, "passages", "licence_header", 400, ALLOW, []),  # a copyright line alone is no licence
        ("copyright", IMAGE, "works", "matched", 950, BLOCK, ["protected-work"]),
        ("copyright", IMAGE, "works", "cleared", 900, ALLOW, ["look-alike"]),
        ("eu-ai-act", REPLY, "toxicity", "identity_attack", 800, BLOCK, ["hate", "doubtful-hate"]),
        ("eu-ai-act", REPLY, "toxicity", "identity_attack", 500, REVIEW, ["doubtful-hate"]),
        ("eu-ai-act", REPLY, "toxicity", "identity_attack", 300, ALLOW, []),
        ("eu-ai-act", PROMPT, "pii", "EMAIL_ADDRESS", 950, ALLOW, []),
        ("cn-labelling", REPLY, "toxicity", "toxicity", 700, BLOCK, ["abuse"]),
        ("cn-labelling", REPLY, "pii", "CN_ID_CARD", 1000, REDACT, ["identity-number"]),
        ("cn-labelling", REPLY, "toxicity", "identity_attack", 600, BLOCK, ["hate"]),
        ("dev", REPLY, "toxicity", "toxicity", 950, ALLOW, ["abuse"]),
        ("dev", REPLY, "pii", "PERSON", 900, ALLOW, ["personal-data"]),
        ("dev", PROMPT, "secrets", "API_KEY", 700, REDACT, ["secret"]),
        ("dev", IMAGE, "works", "matched", 950, ALLOW, ["protected-work"]),
    ],
)
def test_the_pack_decides_what_its_rules_say(
    pack: str, context: Context, check: str, label: str, score: int, action: Action, rules: list[str]
) -> None:
    """One finding at a time, in prompts, replies and images."""
    verdict = decide(opened(pack).policy, results(pack, context, check, label, score), context)
    assert (verdict.action, [fired.rule for fired in verdict.fired]) == (action, rules)


@pytest.mark.parametrize("pack", NAMES)
def test_where_nothing_is_found_everything_is_released(pack: str) -> None:
    """Texts as they are; images where a check reads them, and nowhere else."""
    policy = opened(pack).policy
    for context in (REPLY, PROMPT):
        assert decide(policy, results(pack, context), context).action is ALLOW
    reads_images = any(Modality.IMAGE in spec.modalities for spec in policy.checks)
    assert decide(policy, results(pack, IMAGE), IMAGE).action is (ALLOW if reads_images else BLOCK)


@pytest.mark.parametrize("pack", NAMES)
def test_a_check_that_fails_never_lets_anything_out(pack: str) -> None:
    """Blocked, or under `dev` held, with the check named."""
    policy = opened(pack).policy
    for spec in policy.checks:
        context = IMAGE if Modality.IMAGE in spec.modalities else PROMPT if Stage.OUTPUT not in spec.stages else REPLY
        answered = [one for one in results(pack, context) if one.check != spec.name]
        failed = CheckResult(spec.name, spec.use, "1", "", Status.TIMEOUT, error="no answer within 10000 ms")
        verdict = decide(policy, [*answered, failed], context)
        assert verdict.action is (REVIEW if pack == "dev" else BLOCK)
        assert spec.name in verdict.explanation
