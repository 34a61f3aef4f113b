"""What could be written next in a query: keys, and values that the ledger knows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, literal_column, select

from audit.conditions import known_values
from audit.events import AGE, LOG, MASTER, SUBJECT
from audit.grammar import COLUMNS, KEYS, TERMS, VALUES, Token, quoted, tokens
from audit.holds import LIFT, SET
from audit.models import tables
from audit.query import reading
from audit.review import CLAIM, DECIDE, FILE, GIVE_BACK, SAMPLE
from audit.review_codes import CODES, FEEDBACK_CODES, OUTCOMES
from guard.types import Step

RECENT = 5000
"""Entries, the newest, whose values are offered where no index lists them."""
_INDEXED = frozenset({"tenant", "generator", "policy"})
"""Columns with few values that an index begins with."""
_SECRET = frozenset({"subject", "request", "id", "parent", "mark"})
"""Keys whose values are many, or name a person: nothing is offered."""
_TIMES = ("24h", "7d", "30d")
_KNOWN = {
    "step": tuple(sorted({*Step, CLAIM, GIVE_BACK, DECIDE, SAMPLE, FILE, SET, LIFT})),
    "outcome": OUTCOMES,
    "code": tuple(sorted({*CODES, *FEEDBACK_CODES})),
    "what": (AGE, LOG, MASTER, SUBJECT),
}
"""Values that this version writes; entries of another one may have more, so that filters take any."""

_ENTRY, _TERM = tables()[:2]


@dataclass(frozen=True, slots=True)
class Completion:
    """What may stand between `start` and `end` of the text (characters, from 0)."""

    text: str
    start: int
    end: int


def complete(
    source: str | Engine, text: str, position: int | None = None, *, tenant: str = "", most: int = 20
) -> tuple[Completion, ...]:
    """Completions at a place of a query, its end by default: keys, or values of the key that stands there.

    `tenant`: whose entries alone are looked at; empty: all. Raises QueryError for a text that is too long, LedgerError when
    the ledger cannot be read.
    """
    if not text.isprintable() and any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        return ()
    position = len(text) if position is None else max(0, min(position, len(text)))
    token = next((one for one in tokens(text[:position], tolerant=True) if one.end == position), None)
    end = next((place for place in range(position, len(text)) if text[place].isspace()), len(text))
    if token is None or not token.key:
        start = position if token is None else token.key_at
        begun = text[start:position]
        return tuple(Completion(f"{key}:", start, end) for key in KEYS if key.startswith(begun.lower()))[:most]
    begun, start = _last(token, position)
    end = next((place for place in range(position, end) if text[place] == ","), end)
    return tuple(Completion(quoted(value), start, end) for value in _values(source, token.key, begun, tenant, most))


def _last(token: Token, position: int) -> tuple[str, int]:
    """The value that is being written, and where it begins."""
    return token.values[-1] if token.values else ("", position)


def _values(source: str | Engine, key: str, begun: str, tenant: str, most: int) -> list[str]:
    if key in {"since", "until", "created"}:
        return [one for one in _TIMES if one.startswith(begun)]
    if (known := VALUES.get(key) or _KNOWN.get(key)) is not None:
        return [str(one) for one in known if one.startswith(begun)][:most]
    if key in _SECRET or (key not in COLUMNS and key not in TERMS):
        return []
    with reading(source) as connection:
        if key in _INDEXED and not tenant:
            return known_values(connection, _ENTRY.c[COLUMNS[key]], most, begun)
        if key == "tenant":
            return [tenant] if tenant.startswith(begun) else []
        return _recent(connection, key, begun, tenant, most)


def _recent(connection: Connection, key: str, begun: str, tenant: str, most: int) -> list[str]:
    """Values among the newest entries, those of terms among the newest that have the term."""
    column = _TERM.c.value if key in TERMS else _ENTRY.c[COLUMNS[key]]
    newest = select(_ENTRY.c.idx).order_by(_ENTRY.c.idx.desc()).limit(RECENT)
    newest = newest.where(_ENTRY.c.tenant == tenant) if tenant else newest
    chosen = newest.subquery()
    if key in TERMS:
        # The name as an expression: else SQLite walks all of the name's rows in the index on values.
        found = select(column).where(_TERM.c.name.concat(literal_column("''")) == key, _TERM.c.idx.in_(select(chosen.c.idx)))
    else:
        found = select(column).where(_ENTRY.c.idx.in_(select(chosen.c.idx)))
    values = {value for value in connection.execute(found.distinct()).scalars() if value and value.startswith(begun)}
    return sorted(values)[:most]
