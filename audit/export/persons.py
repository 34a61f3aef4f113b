"""What persons said of decisions, from the entries about them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from audit.canonical import loads
from audit.events import APPEAL, OVERRIDE, REVIEW
from audit.models import tables

RELEASE, WITHHOLD = "release", "withhold"
_ENTRY = tables()[0]


def last_words(connection: Connection, decisions: Collection[str]) -> dict[str, str]:
    """`release` or `withhold` for each of these decisions that a person decided on: what was last said and not taken back."""
    statement = (
        select(_ENTRY.c.idx, _ENTRY.c.kind, _ENTRY.c.parent, _ENTRY.c.body)
        .where(_ENTRY.c.parent.in_(decisions), _ENTRY.c.kind.in_((REVIEW, OVERRIDE, APPEAL)), _ENTRY.c.body.is_not(None))
        .order_by(_ENTRY.c.idx)
    )
    said: dict[str, dict[int, str]] = {}
    for idx, kind, parent, body in connection.execute(statement):
        fields = loads(body).get("fields", {})
        said.get(parent, {}).pop(fields.get("undoes", -1), None)
        outcome = fields.get("outcome")
        if outcome in {RELEASE, WITHHOLD} and (kind == OVERRIDE or fields.get("step") == "decide"):
            said.setdefault(parent, {})[idx] = outcome
    return {one: list(outcomes.values())[-1] for one, outcomes in said.items() if outcomes}
