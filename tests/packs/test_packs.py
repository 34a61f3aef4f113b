"""The bundled packs do what their own rules' tests say, measured by the bundled models."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

import policies
from guard.chain import Chain, context_of
from guard.decide import decide
from guard.types import CALLER, Content, Modality, Request, Stage

PACKS = sorted((Path(policies.__file__).parent / "packs").glob("*.yaml"))


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.stem)
def test_every_rule_fires_on_what_it_flags_and_not_on_what_it_passes(pack):
    """All texts of the pack in one batch, as prompts where a rule is on prompts alone, otherwise as outputs."""
    loaded = policies.open_policy(pack)
    policy = loaded.policy
    prompts = {rule["id"] for rule in yaml.safe_load(pack.read_text("utf-8"))["rules"] if rule["when"].get("stage") == "prompt"}
    cases = [
        (test.rule, test.expects, test.text, Stage.PROMPT if test.rule in prompts else Stage.OUTPUT) for test in loaded.tests
    ]
    assert cases
    contents = [Content(Modality.TEXT, text, "text/plain", stage, CALLER, Request("1")) for _, _, text, stage in cases]
    measured = asyncio.run(Chain(policy).run(contents))
    wrong = []
    for (rule, kind, text, _), content, results in zip(cases, contents, measured, strict=True):
        fired = {one.rule for one in decide(policy, results, context_of(content)).fired}
        if (rule in fired) is not (kind == "flags"):
            wrong.append((rule, kind, text, sorted(fired)))
    assert wrong == []
