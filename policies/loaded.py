"""A policy as its author sees it: what was compiled, and what of its file nobody needs in order to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from guard.rules import Policy
from policies.conditions import Known
from policies.mistake import Position
from policies.source import Node


@dataclass(frozen=True, slots=True)
class RuleTest:
    """An example beside a rule: a text or an image, and what the rule must make of it."""

    rule: str
    at: Position
    expects: Literal["flags", "passes", "redacts"]
    text: str = ""
    image: Path | None = None
    """The image file, in place of a text; relative to the folder of the policy file that names it."""
    becomes: str = ""
    """With `redacts`: the text that has to leave."""
    stage: str = ""
    """Where the content stands; empty: wherever the rule can hold, an output before a prompt."""
    language: str = ""
    tenant: str = ""
    generator: str = ""


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A compiled policy with its file. Tests and places do not decide anything, so they are no part of its revision."""

    policy: Policy
    tests: tuple[RuleTest, ...]
    checks: Mapping[str, Known]
    """By name in the policy: the labels that each can report with their categories, and what it reads."""
    root: Node
    """The file, with the files that it extends already in it; each node knows its place."""
    file: str
    unused: tuple[tuple[str, Position], ...] = ()
    """Shared lists that nothing names, with their places."""

    def place_of(self, rule: str) -> Position:
        """Where a rule stands; the file as a whole when it has no such rule."""
        rules = self.root.entries["rules"].node.items if "rules" in self.root.entries else []
        found = (node.at for node in rules if "id" in node.entries and node.entries["id"].node.value == rule)
        return next(found, Position(self.file))
