"""A query as a person changes it by links: its terms one by one, values added, left out and taken away again."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from audit.grammar import quoted, tokens
from console.nav import HOME

LIST = f"{HOME}/decisions"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a query as it is written, and the query without it."""

    text: str
    rest: str


def terms(query: str) -> tuple[Term, ...]:
    """The terms of a query. Raises QueryError for one that cannot be read."""
    found = [(one.start, one.end) for one in tokens(query)]
    texts = [query[start:end] for start, end in found]
    return tuple(Term(text, " ".join(texts[:number] + texts[number + 1 :])) for number, text in enumerate(texts))


def has(query: str, key: str, value: str) -> bool:
    """Whether a query asks for a value of a key already. Raises QueryError for one that cannot be read."""
    return any(one.key == key and not one.excluded and value in {known for known, _ in one.values} for one in tokens(query))


def adding(query: str, key: str, value: str, *, excluded: bool = False) -> str:
    """The query that also asks for a value, or leaves it out."""
    return f"{query.strip()} {'-' if excluded else ''}{key}:{quoted(value)}".strip()


def without(query: str, key: str, value: str) -> str:
    """The query that does not ask for a value any more; other values of the same term stay."""
    kept = []
    for one in tokens(query):
        text = query[one.start : one.end]
        if one.key == key and not one.excluded:
            left = [known for known, _ in one.values if known != value]
            text = f"{key}:{','.join(map(quoted, left))}" if left else ""
        kept += [text] if text else []
    return " ".join(kept)


def within(query: str, created: str) -> str:
    """The query for a range of time, in place of the one that it asks for."""
    kept = [query[one.start : one.end] for one in tokens(query) if one.key != "created"]
    return adding(" ".join(kept), "created", created)


def address(query: str = "", **more: object) -> str:
    """Where the list of a query is. `more`: its other parameters; those without a value are left out."""
    given = {"q": query, **more}
    known = {name: value for name, value in given.items() if value not in ("", None, False)}
    return f"{LIST}?{urlencode(known)}" if known else LIST
