"""What was looked at and what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How good it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something should be looked after."""
    BAD = "bad"
    """The service would not start, would fail closed, or could lose evidence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact of an installation."""

    part: str
    """One of `doctor.PARTS`."""
    name: str
    status: Status
    found: str
    advice: str = ""
    """What to do; empty when there is nothing."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Numbers for machines: bytes, milliseconds, seconds, named so."""


def ok(part: str, name: str, found: str, **facts: Any) -> Finding:
    """Something as it should be."""
    return Finding(part, name, Status.OK, found, "", facts)


def warning(part: str, name: str, found: str, advice: str, **facts: Any) -> Finding:
    """Something to look after."""
    return Finding(part, name, Status.WARNING, found, advice, facts)


def bad(part: str, name: str, found: str, advice: str, **facts: Any) -> Finding:
    """Something to mend first."""
    return Finding(part, name, Status.BAD, found, advice, facts)
