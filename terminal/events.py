"""How events around decisions are shown: reviews, appeals, reveals, exports, erasures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

from audit.body import time_string
from audit.events import KINDS, Event
from audit.review import Step
from terminal.printing import printable


def event_facts(event: Event) -> list[tuple[str, str]]:
    """An event as lines of a name and a value."""
    facts = {
        "what": KINDS[event.kind].title,
        "by": event.actor,
        "about": event.about,
        "tenant": event.tenant,
        "subject": event.subject,
        "reason": event.reason,
    }
    for name, value in event.fields.items():
        facts[name.replace("_", " ")] = ", ".join(value) if isinstance(value, tuple) else str(value)
    return [(name, fact) for name, fact in facts.items() if fact]


def followed_fields(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """What followed a decision, as plain fields."""
    return [
        {
            "index": one.idx,
            "kind": one.kind,
            "time": time_string(one.time),
            "actor": one.actor,
            "reason": one.reason,
            **({"fields": dict(one.fields)} if one.fields else {}),
        }
        for one in steps
    ]


def print_followed(steps: Iterable[Step]) -> None:
    """What followed a decision, one line each, in order."""
    for number, one in enumerate(steps):
        if not number:
            typer.echo("What followed")
        told = " ".join(str(one.fields[name]) for name in _TOLD if one.fields.get(name))
        why = f": {one.reason}" if one.reason else ""
        typer.echo(printable(f"  entry {one.idx}, {time_string(one.time)[:19]}: {one.kind} {told} by {one.actor}{why}"))


_TOLD = ("step", "outcome", "code", "round", "lease", "undoes", "queue", "released", "decision", "action", "parts")
"""Fields of a step that its line shows, in this order."""
