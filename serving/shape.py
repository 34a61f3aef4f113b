"""What is wrong with the shape of a request, quoting no value of it, and no name that could hold an address or a number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNKNOWN = "…"
"""Stands for a name that the service does not have, unless it is a plain word, as parameters of other services are."""
_PLAIN = re.compile(r"[a-z]{1,20}(_[a-z]{1,20}){0,3}")
MOST = 5


def names(described: Any) -> frozenset[str]:
    """Names of all fields and parameters that an OpenAPI document describes."""
    found: set[str] = set()
    waiting: list[Any] = [described]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            properties = one.get("properties")
            if isinstance(properties, Mapping):
                found |= set(properties)
            if "in" in one and isinstance(one.get("name"), str):
                found.add(one["name"])
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return frozenset(found)


def told(problems: Sequence[Mapping[str, Any]], body: Any, known: frozenset[str]) -> str:
    """The first problems: where, and what was expected. `body`: what was sent; `known`: names that may be said."""
    return "; ".join(f"{_place(problem['loc'][1:], body, known)}: {_said(problem)}" for problem in problems[:MOST])


def _place(steps: Iterable[str | int], body: Any, known: frozenset[str]) -> str:
    shown: list[str] = []
    at = body
    for step in steps:
        theirs = isinstance(at, Mapping) and step in at
        shown.append(UNKNOWN if theirs and step not in known and not _PLAIN.fullmatch(str(step)) else str(step))
        if isinstance(at, Mapping):
            at = at.get(step, at)
        elif isinstance(at, list) and isinstance(step, int) and step < len(at):
            at = at[step]
    return ".".join(shown)


def _said(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "union_tag_invalid":
        return f"Input should be one of {problem.get('ctx', {}).get('expected_tags', '')}"
    return str(problem["msg"])
