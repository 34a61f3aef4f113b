"""One contract for every registered check: its own examples, through the chain that will run it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from guard.chain import Chain
from guard.conditions import covers
from guard.protocols import Check
from guard.registry import checks
from guard.rules import CheckSpec, Found, Policy, Rule
from guard.taxonomy import CATEGORIES
from guard.types import CALLER, Action, CheckResult, Content, Context, Modality, Request, Stage, Status
from tests.services import chat, moderation, serving
from tests.tiny_models import MULTI, threat_classifier

NAMES = [
    "toxicity",
    "pii",
    "secrets",
    "image_match",
    "text_match",
    "prompt_injection",
    "invisible_characters",
    "prompt_leakage",
    "classifier",
    "moderation_endpoint",
    "llm_judge",
    "fusion",
    "transcript",
]
FLAGGED = 500
"""Per mille from which an example counts as flagged."""


def test_all_bundled_checks_are_held_to_the_contract():
    """A check that is added has to be added here too, or be a third party's."""
    assert set(NAMES) == {name for name, module in checks._modules.items() if module.startswith("guard.checks.")}


@pytest.fixture(scope="module")
def parameters(tmp_path_factory) -> Iterator[Callable[[str], dict[str, Any]]]:
    """What a check cannot be made without: real models of the formats it reads, a real service. Nothing, for most."""
    folder = tmp_path_factory.mktemp("models")
    services = ExitStack()

    def needed(name: str) -> dict[str, Any]:
        match name:
            case "classifier":
                return {"model": str(threat_classifier(folder / name)), "labels": {"THREAT": "violence"}}
            case "prompt_leakage":
                return {"system_prompts": ("You are the shop's assistant and answer questions on orders only.",)}
            case "moderation_endpoint":
                service = services.enter_context(serving(moderations=moderation))
                return {"base_url": service.url, "model": "any", "timeout_ms": 20_000}
            case "llm_judge":
                service = services.enter_context(serving(chat_completions=_judged))
                return {"base_url": service.url, "model": "any", "timeout_ms": 20_000}
            case "fusion":
                single, several = threat_classifier(folder / "one"), threat_classifier(folder / "two", problem=MULTI)
                one = {"use": "classifier", "model": str(single), "labels": {"THREAT": "violence"}}
                two = {"use": "classifier", "model": str(several), "labels": {"threat": "violence", "toxic": "violence"}}
                return {"members": {"one": one, "two": two}, "how": "mean", "by": "category"}
            case "transcript":
                return {"members": {"words": {"use": "secrets"}, "people": {"use": "pii", "languages": ["en"]}}}
            case _:
                return {}

    with services:
        yield needed


def _judged(body: Any) -> Any:
    conversation = body["messages"][-1]["content"].partition("<BEGIN CONVERSATION>")[2]
    return chat("unsafe\nS1" if "kill" in conversation else "safe")


@pytest.fixture(scope="module", params=NAMES)
def check(request, parameters) -> Check:
    made = checks.make(request.param, parameters(request.param))
    made.load()
    return made


def measure(check: Check, contents: list[Content]) -> list[CheckResult]:
    spec = CheckSpec("it", "it", deadline_ms=60_000, modalities=check.modalities)
    rule = Rule("any", Found("it"), Action.BLOCK, "harassment")
    policy = Policy(id="p", version=1, status="live", revision="", document="", checks=(spec,), rules=(rule,))
    return [results[0] for results in asyncio.run(Chain(policy, {"it": check}).run(contents))]


def top(result: CheckResult) -> int:
    return max((finding.score for finding in result.findings), default=0)


def whole(result: CheckResult, content: Content) -> bool:
    return covers(result.scanned, Context(content.stage, content.modality, "", length=content.length))


def test_it_is_a_check(check):
    """It satisfies the protocol, and says what it reads, what it reports and which version and model it is."""
    assert isinstance(check, Check)
    assert check.modalities
    assert check.version
    assert len(check.digest) in {0, 64}  # code alone has none
    assert set(check.labels.values()) <= set(CATEGORIES)


def test_it_flags_what_it_says_it_flags_and_passes_what_it_says_it_passes(check):
    """Both kinds of examples exist, in one batch, each read whole."""
    examples = check.examples
    assert examples.flagged
    assert examples.clean
    results = measure(check, [*examples.flagged, *examples.clean])
    assert {result.status for result in results} == {Status.OK}
    for content, result in zip([*examples.flagged, *examples.clean], results, strict=True):
        assert whole(result, content)
    flagged = results[: len(examples.flagged)]
    assert [top(result) >= FLAGGED for result in flagged] == [True] * len(flagged)
    clean = results[len(examples.flagged) :]
    assert [top(result) < FLAGGED for result in clean] == [True] * len(clean)


def test_what_it_reports_is_declared_placed_and_quotes_nothing(check):
    """Labels and categories as declared; places inside the content; reasons without its words."""
    for content, result in zip(check.examples.flagged, measure(check, list(check.examples.flagged)), strict=True):
        for finding in result.findings:
            assert check.labels[finding.label] == finding.category
            if content.modality is Modality.TEXT:
                quoted = content.text[finding.where.start : finding.where.end] if finding.where else content.text
                assert quoted not in finding.reason


def test_the_same_content_alone_or_in_a_batch_gives_the_same_findings(check):
    """Batching is an optimisation, not a judgement: labels and places agree, scores up to rounding."""
    contents = [*check.examples.flagged, *check.examples.clean]
    batched = measure(check, contents)
    for content, together in zip(contents, batched, strict=True):
        (alone,) = measure(check, [content])
        seen = [[(finding.label, finding.where) for finding in one.findings] for one in (alone, together)]
        assert seen[0] == seen[1]
        assert all(abs(a.score - b.score) <= 2 for a, b in zip(alone.findings, together.findings, strict=True))


def test_odd_contents_are_answered_or_refused_but_never_crash_it(check):
    """Empty text, control characters, emoji, right-to-left text; an image of one pixel."""
    one = check.examples.clean[0]
    if one.modality is Modality.TEXT:
        odd = ["", " ", "\x00\x01\x02", "👩‍👩‍👧‍👦" * 50, "\u202eevil\u202c", "a" * 20_000, "مرحبا", "你好，世界"]
        contents = [replace(one, data=text) for text in odd]
    elif one.modality is Modality.AUDIO:
        contents = [replace(one, transcript=text) for text in (" ", "\x00\x01", "👩‍👩‍👧‍👦" * 50, "a" * 20_000, "你好，世界")]
    else:
        from PIL import Image

        from guard.imaging import image_content

        made = {"stage": Stage.OUTPUT, "origin": CALLER, "request": Request("1")}
        contents = [image_content(Image.new(mode, (1, 1)), **made) for mode in ("RGB", "L", "RGBA", "P")]
    results = measure(check, contents)
    assert {result.status for result in results} == {Status.OK}
    assert all(whole(result, content) for result, content in zip(results, contents, strict=True))
