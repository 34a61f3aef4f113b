"""What persons said of decisions, from the entries about them: the last word that stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from audit.canonical import loads
from audit.events import APPEAL, OVERRIDE, REVIEW
from audit.models import tables

RELEASE, WITHHOLD = "release", "withhold"
_ENTRY = tables()[0]


@dataclass(slots=True)
class Words:
    """What persons said of one decision, in the log's order."""

    said: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    """By index: the outcome, which person's of how many it was."""

    def add(self, idx: int, kind: str, fields: Mapping[str, Any]) -> bool:
        """Take an entry in; whether it was a person's decision. One that undoes takes the undone one out."""
        self.said.pop(fields.get("undoes", -1), None)
        outcome = fields.get("outcome")
        if outcome not in {RELEASE, WITHHOLD} or not (kind == OVERRIDE or fields.get("step") == "decide"):
            return False
        self.said[idx] = (outcome, int(fields.get("round", 1)), int(fields.get("rounds", 1)))
        return True

    @property
    def last(self) -> str:
        """`release` or `withhold`; empty while nobody decided, or fewer persons than have to.

        Several persons release what all of them would release.
        """
        words = list(self.said.values())
        while words:
            _, number, rounds = words[-1]
            together, words = words[-number:], words[:-number]
            if number >= rounds:
                return RELEASE if all(outcome == RELEASE for outcome, _, _ in together) else WITHHOLD
        return ""


def last_words(connection: Connection, decisions: Collection[str]) -> dict[str, str]:
    """`release` or `withhold` for each of these decisions that persons decided on and did not take back."""
    statement = (
        select(_ENTRY.c.idx, _ENTRY.c.kind, _ENTRY.c.parent, _ENTRY.c.body)
        .where(_ENTRY.c.parent.in_(decisions), _ENTRY.c.kind.in_((REVIEW, OVERRIDE, APPEAL)), _ENTRY.c.body.is_not(None))
        .order_by(_ENTRY.c.idx)
    )
    found: dict[str, Words] = {}
    for idx, kind, parent, body in connection.execute(statement):
        found.setdefault(parent, Words()).add(idx, kind, loads(body).get("fields", {}))
    return {one: words.last for one, words in found.items() if words.last}
