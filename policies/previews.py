"""Reads `previews` of a policy file: which rules may end an image that is being made, and which checks look at previews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guard.types import Action, Modality, Stage
from policies.compare import measured
from policies.encoding import decode
from policies.mistake import Mistakes, one_of
from policies.source import Node


def check_rules(root: Node, actions: Mapping[str, str], mistakes: Mistakes) -> None:
    """Note rules that are not there, or that do not block. `actions`: of the policy's rules, by id."""
    node = root.entries["previews"].node.entries["rules"].node
    blocking = [rule for rule, action in actions.items() if action == Action.BLOCK]
    for item in node.items:
        if item.value not in actions:
            hint = mistakes.closest(str(item.value), blocking)
            mistakes.add(item.at, f"no rule {item.value!r}", one_of(blocking) if blocking else "a rule that blocks", hint)
        elif item.value not in blocking:
            mistakes.add(item.at, f"rule {item.value!r} with action {actions[item.value]!r}", "a rule with action 'block'")


def narrowed(
    checks: Mapping[str, dict[str, Any]], rules: Sequence[Mapping[str, Any]], named: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The checks of a document: those of images that no named rule asks about do not run on previews."""
    asked = {one.check for rule in rules if rule["id"] in named for one in measured(decode(rule["when"]))}

    def stages(name: str, entry: Mapping[str, Any]) -> list[str]:
        kept = [stage for stage in entry["stages"] if stage != Stage.CHUNK]
        images = list(entry["modalities"]) == [Modality.IMAGE]
        return kept if kept and images and name not in asked else list(entry["stages"])

    return {name: {**entry, "stages": stages(name, entry)} for name, entry in checks.items()}
