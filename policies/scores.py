"""Reads thresholds: a score from 0 to 1, or one for each language."""

from __future__ import annotations

import math
import re

from policies.mark_schema import EVERY_LANGUAGE
from policies.mistake import Mistakes, describe
from policies.source import Node

EVERY = "*"
"""Every language that is not named, and content of which nobody knows the language."""


def per_mille(node: Node, mistakes: Mistakes) -> int | None:
    """A score in thousandths; None, with the mistake noted, for anything else."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        mistakes.add(node.at, node.describe(), "a score from 0 to 1, such as 0.6", _hint(value))
        return None
    if not math.isclose(value * 1000, round(value * 1000), abs_tol=1e-9):
        mistakes.add(node.at, f"the score {value}", "at most three decimals; scores count in thousandths")
        return None
    return round(value * 1000)


def scores_by_language(node: Node, mistakes: Mistakes) -> dict[str, int] | None:
    """`{en: 0.6, zh: 0.5, "*": 0.6}` in thousandths; None, with the mistakes noted, when it cannot be."""
    before = len(mistakes)
    scores: dict[str, int] = {}
    tags: set[str] = set()
    for tag, entry in node.entries.items():
        if not re.fullmatch(EVERY_LANGUAGE, tag):
            expected = 'a language tag such as en or zh-Hans, or "*" for all others'
            mistakes.add(entry.at, f"{describe(tag)} as a language", expected)
        if tag.lower() in tags:
            mistakes.add(entry.at, f"the language {describe(tag)} a second time", "it once; capitals do not count")
        tags.add(tag.lower())
        score = per_mille(entry.node, mistakes)
        if score is not None:
            scores[tag] = score
    if EVERY not in node.entries:
        why = "content in another language, or in none that is known, would have no threshold"
        mistakes.add(node.at, 'scores by language without "*"', f'`"*": 0.6` among them; {why}')
    return scores if len(mistakes) == before else None


def _hint(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 < value <= 100:
        return f"{value} per cent is written {value / 100}"
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})? ?%", value):
        return f"{value} is written {float(value.rstrip('% ')) / 100:g}"
    return ""
