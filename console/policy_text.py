"""A recorded policy document as lines that people read: YAML in the order of a policy file, each line with its rule."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_FIRST = (
    "policy", "version", "status", "owner", "description", "format", "applies_to", "lists", "checks", "rules", "exceptions",
)  # fmt: skip
_OF_RULE = ("id", "title", "when", "action", "with", "category", "basis", "message")


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    number: int
    text: str
    rule: str
    """The rule that it belongs to; empty for the rest."""
    fired: bool


def lines_of(document: str, fired: Collection[str]) -> tuple[Line, ...]:
    """A document's lines. `fired`: ids of the rules to be told apart. Raises ValueError or TypeError for another text."""
    known = json.loads(document)
    if not isinstance(known, dict):
        raise TypeError("found a policy document that is no object")
    return tuple(Line(number, text, rule, rule in fired) for number, (text, rule) in enumerate(_texts(known), 1))


def excerpt(lines: Collection[Line], rule: str) -> tuple[Line, ...]:
    """The lines of one rule; none for a rule that the policy does not have."""
    return tuple(one for one in lines if one.rule == rule)


def _texts(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _ordered(known, _FIRST):
        value = known[name]
        if name == "rules" and isinstance(value, list):
            yield "rules:", ""
            for rule in value:
                ordered = {key: rule[key] for key in _ordered(rule, _OF_RULE)}
                for line in _yaml([ordered]):
                    yield f"  {line}", str(rule.get("id", ""))
        else:
            for line in _yaml({name: value}):
                yield line, ""


def _ordered(known: Mapping[str, Any], first: tuple[str, ...]) -> list[str]:
    return [name for name in first if name in known] + [name for name in known if name not in first]


def _yaml(value: Any) -> list[str]:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100, indent=2).splitlines()
