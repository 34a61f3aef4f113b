"""Free text of a query: words that have to stand in the reasons of an entry.

Reasons are what rules, checks and people gave as such: of a decision the explanation, titles and `because` of the rules that
fired, reasons of findings, errors of checks and marks, also those of its shadows; of other entries the reason. There is no
index of words: it would have to be part of what the log commits to. Bodies are read, as many as the query's bounds allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from audit.body import DECISION
from audit.canonical import loads
from audit.grammar import TEXT, Filter
from guard.errors import LedgerError


def split(wanted: Sequence[Filter]) -> tuple[tuple[Filter, ...], tuple[Filter, ...]]:
    """Filters that the database answers, and those on reasons."""
    words = tuple(Filter(TEXT, tuple(map(str.casefold, one.values)), one.excluded) for one in wanted if one.key == TEXT)
    return tuple(one for one in wanted if one.key != TEXT), words


def says(body: bytes | None, words: Sequence[Filter]) -> bool:
    """Whether the reasons of an entry have the words (casefolded, as `split` gives them), and none that are excluded."""
    if body is None:
        return False
    found: str | None = None
    whole = body.decode("utf-8", "replace").casefold()
    for one in words:
        # A look at the whole body is cheap and settles most entries: what is not in it is in none of its reasons.
        if not any(_possible(value, whole) for value in one.values):
            if not one.excluded:
                return False
            continue
        found = _text(body) if found is None else found
        if any(value in found for value in one.values) == one.excluded:
            return False
    return True


def reasons(body: Mapping[str, Any]) -> Iterator[str]:
    """The reasons of an entry."""
    if body.get("kind") != DECISION:
        yield body.get("reason", "")
        return
    for mark in body.get("marks", ()):
        yield mark.get("error", "")
    for part in (body, *body.get("shadows", ())):
        verdict = part.get("verdict", {})
        yield verdict.get("explanation", "")
        for fired in verdict.get("fired", ()):
            yield fired.get("title", "")
            yield fired.get("because", "")
        for result in part.get("results", ()):
            yield result.get("error", "")
            yield from (finding.get("reason", "") for finding in result.get("findings", ()))


def _possible(value: str, whole: str) -> bool:
    """Whether a word may be in a body. JSON writes some characters in another way."""
    return any(letter in '"\\' or letter < " " for letter in value) or value in whole


def _text(body: bytes) -> str:
    """All reasons of an entry, one a line, casefolded; empty when the body is damaged: the verifier tells that."""
    try:
        return "\n".join(reasons(loads(body))).casefold()
    except (LedgerError, ValueError, TypeError, AttributeError):
        return ""
