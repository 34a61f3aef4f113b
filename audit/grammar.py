"""The filters of a query, and their short form: `action:block category:privacy -generator:echo created:2026-11 "no answer"`.

Terms are separated by spaces and all hold; of several values for one key one is enough (`action:block action:review`, or
`action:block,review`); a leading `-` excludes. What has no key is looked for in the reasons (`audit.reasons`): every word has
to be there. A value with spaces, commas or colons stands in double quotes; a quotation mark in it is written twice.

`created`, `idx` and `version` take ranges: `a..b` (both ends belong to it), `a..`, `..b`, `>=a`, `>a`, `<=a`, `<a`
(`audit.ranges`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from audit.body import ACTIVATION, BANK_CHANGE, CONFIG, DECISION, POLICY_ROLLOUT
from audit.events import KINDS
from audit.ranges import number_ends, one_time, time_ends
from guard.errors import InputError
from guard.types import Action, Modality, Stage

COLUMNS = {
    "id": "decision",
    "kind": "kind",
    "request": "request",
    "tenant": "tenant",
    "actor": "actor",
    "subject": "subject",
    "stage": "stage",
    "modality": "modality",
    "generator": "generator",
    "model": "model",
    "action": "action",
    "policy": "policy",
    "revision": "revision",
    "parent": "parent",
}
"""Filters on a column of `entry`, by the column's name there."""

RANGES = {"created": "time", "idx": "idx", "version": "version"}
"""Filters whose values are ranges, with their column. A value is `low..high`: `created` without its high end, numbers with."""

ABOUT = {"bank": (BANK_CHANGE,), "rollout": (POLICY_ROLLOUT,), "step": (POLICY_ROLLOUT,)}
"""Filters on entries that are no decisions, with their kinds."""
for _name, _kind in KINDS.items():
    for _term in sorted({*_kind.terms} - {"opens", "closes"}):  # indices, for queues of reviews alone
        ABOUT[_term] = (*ABOUT.get(_term, ()), _name)

TERMS = tuple(sorted({"rule", "category", "mark", "shadow", "purpose", "consent", *ABOUT}))
TIMES = ("since", "until")
TEXT = "text"
"""Filter on reasons; what has no key is one of these."""
PREFIXES = frozenset({"id", "revision", "parent"})
"""Filters whose value may be cut short."""
ANY = "any"
"""With `kind`: entries of every kind."""

KEYS = tuple(sorted((*COLUMNS, *TERMS, *TIMES, *RANGES, TEXT)))
"""Every filter there is."""

VALUES: dict[str, tuple[str, ...]] = {
    "action": tuple(Action),
    "shadow": tuple(Action),
    "stage": tuple(Stage),
    "modality": tuple(Modality),
    "kind": (DECISION, ACTIVATION, BANK_CHANGE, POLICY_ROLLOUT, CONFIG, *KINDS, ANY),
}
"""Filters that have no other values than these."""

MAX_LENGTH = 4000
"""Characters of a query."""
_KEY = re.compile("[A-Za-z_]*")
_QUOTED = re.compile(r"(?<!\\)(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")", re.DOTALL)


class QueryError(InputError):
    """A query that cannot be understood; `position` counts characters of `query` from 0."""

    def __init__(self, message: str, *, query: str = "", position: int = 0, advice: str = "") -> None:
        pointer = f"{query}\n{' ' * position}^" if query else ""
        super().__init__(message, advice="\n".join(filter(None, (pointer, advice))))
        self.query = query
        self.position = position
        self.hint = advice
        """The advice without the caret."""

    def plain(self) -> str:
        """Without what stands in quotation marks, which is the query's."""
        place = f", at character {self.position + 1} of the query" if self.query else ""
        return "\n".join(filter(None, (_QUOTED.sub("…", str(self)) + place, _QUOTED.sub("…", self.hint))))


@dataclass(frozen=True, slots=True)
class Filter:
    """One key with the values it may have, or may not."""

    key: str
    values: tuple[str, ...]
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """One term of the short form: where it is, and what it is made of."""

    start: int
    excluded: bool
    key: str
    """Empty for a word."""
    key_at: int
    values: tuple[tuple[str, int], ...]
    """Values, unquoted, with where each begins."""
    end: int


def parse(query: str, *, now: datetime | None = None) -> tuple[Filter, ...]:
    """Read the short form; `now` is what `7d` is counted from. Raises QueryError that points at the mistake."""
    found: dict[tuple[str, bool], tuple[str, ...]] = {}
    words: list[Filter] = []
    for token in tokens(query):
        if not token.key:
            words.append(Filter(TEXT, tuple(value for value, _ in token.values), token.excluded))
            continue
        _check_key(query, token)
        for value, place in token.values:
            try:
                one = make_filter(token.key, (value,), excluded=token.excluded, now=now)
            except QueryError as error:
                raise QueryError(str(error), query=query, position=place, advice=error.hint) from None
            known = found.get((token.key, token.excluded), ())
            if known and token.key in TIMES:
                raise QueryError(f"{token.key} takes one time", query=query, position=token.key_at)
            found[token.key, token.excluded] = (*known, *one.values)
    return (*(Filter(key, values, excluded) for (key, excluded), values in found.items()), *words)


def filters_from(named: Mapping[str, str | Iterable[str]]) -> tuple[Filter, ...]:
    """Filters from names and values. Raises QueryError for a name or a value that does not exist."""
    return tuple(make_filter(key, (values,) if isinstance(values, str) else tuple(values)) for key, values in named.items())


def make_filter(key: str, values: tuple[str, ...], *, excluded: bool = False, now: datetime | None = None) -> Filter:
    """One filter, checked. Raises QueryError."""
    if key not in KEYS:
        raise QueryError(f"unknown filter {key!r}", advice=_keys_advice(key))
    if not values or not all(values):
        raise QueryError(f"{key} has no value")
    now = now or datetime.now(UTC)
    if key in TIMES:
        if excluded or len(values) > 1:
            raise QueryError(f"{key} takes one time and cannot be excluded", advice="Write -created:A..B instead.")
        return Filter(key, (_one_time(key, values[0], now),))
    if key in RANGES:
        return Filter(key, tuple(_range(key, value, now) for value in values), excluded)
    allowed = VALUES.get(key)
    for value in values:
        if allowed is not None and value not in allowed:
            near = get_close_matches(value, allowed, 1)
            raise QueryError(
                f"{key} is never {value!r}, expected one of: {', '.join(allowed)}",
                advice=f"Did you mean {near[0]}?" if near else "",
            )
    return Filter(key, values, excluded)


def about(wanted: Iterable[Filter]) -> tuple[str, ...]:
    """The kinds of entry that filters ask for, decisions unless they say otherwise; empty for every kind."""
    named = [one for one in wanted if one.key == "kind" and not one.excluded]
    if any(ANY in one.values for one in named):
        return ()
    if named or any(one.key == "kind" for one in wanted):
        return tuple(dict.fromkeys(value for one in named for value in one.values))
    kinds = {kind for one in wanted if one.key in ABOUT and not one.excluded for kind in ABOUT[one.key]}
    return tuple(sorted(kinds)) or (DECISION,)


def quoted(value: str) -> str:
    """A value as the short form has to write it."""
    plain = re.fullmatch(r'[^\s",:]+', value) and not value.startswith("-")
    return value if plain else '"' + value.replace('"', '""') + '"'


def tokens(query: str, *, tolerant: bool = False) -> Iterator[Token]:
    """The terms of the short form, keys and values unchecked. Raises QueryError; `tolerant`: takes what is unfinished."""
    if len(query) > MAX_LENGTH:
        raise QueryError(
            f"the query has {len(query)} characters, expected at most {MAX_LENGTH}", advice="Ask in several steps."
        )
    strange = next((place for place, letter in enumerate(query) if letter == "\0" or 0xD800 <= ord(letter) < 0xE000), None)
    if strange is not None and not tolerant:
        raise QueryError(
            "found a character that is no text, expected Unicode without NUL and lone surrogates", position=strange
        )
    place = 0
    while place < len(query):
        if query[place].isspace():
            place += 1
            continue
        token = _token(query, place, tolerant=tolerant)
        yield token
        place = token.end


def _token(query: str, start: int, *, tolerant: bool) -> Token:
    key_at = start + (query[start] == "-")
    name = _KEY.match(query, key_at)
    assert name is not None, "the pattern may be empty"
    keyed = query[name.end() : name.end() + 1] == ":"
    place = name.end() + 1 if keyed else key_at
    values, end = _values(query, place, commas=keyed, tolerant=tolerant)
    if not tolerant:
        if keyed and not name.group():
            raise QueryError("expected key:value", query=query, position=key_at, advice=f"Keys are: {', '.join(KEYS)}.")
        empty = next((at for value, at in values if not value), place if not values else None)
        if keyed and empty is not None:
            if name.group() not in KEYS:
                _check_key(query, Token(start, key_at > start, name.group(), key_at, (), end))
            raise QueryError(f"{name.group()} has no value", query=query, position=empty)
        if empty is not None:
            raise QueryError("expected a word or key:value", query=query, position=min(empty, len(query)))
    return Token(start, key_at > start, name.group() if keyed else "", key_at, tuple(values), end)


def _values(query: str, place: int, *, commas: bool, tolerant: bool) -> tuple[list[tuple[str, int]], int]:
    """The values from a place on, up to a space that is not quoted, and where they end."""
    values: list[tuple[str, int]] = []
    text, begun = "", place
    while place < len(query) and not query[place].isspace():
        letter = query[place]
        if letter == '"':
            part, after = _quotation(query, place, tolerant=tolerant)
            text, place = text + part, after
        elif letter == "," and commas:
            values.append((text, begun))
            text, place = "", place + 1
            begun = place
        else:
            text, place = text + letter, place + 1
    if text or place > begun or values:
        values.append((text, begun))
    return values, place


def _quotation(query: str, start: int, *, tolerant: bool) -> tuple[str, int]:
    """What stands in quotation marks, and the place after them."""
    place, text = start + 1, ""
    while place < len(query):
        if query[place] == '"':
            if query[place + 1 : place + 2] != '"':
                return text, place + 1
            place += 1
        text += query[place]
        place += 1
    if tolerant:
        return text, place
    raise QueryError("a quotation mark is not closed", query=query, position=start)


def _check_key(query: str, token: Token) -> None:
    if token.key not in KEYS:
        raise QueryError(f"unknown filter {token.key!r}", query=query, position=token.key_at, advice=_keys_advice(token.key))
    if token.excluded and token.key in TIMES:
        raise QueryError(
            f"{token.key} takes one time and cannot be excluded",
            query=query,
            position=token.key_at,
            advice="Write -created:A..B instead.",
        )


def _keys_advice(key: str) -> str:
    near = get_close_matches(key.lower(), KEYS, 1, 0.6)
    return (
        f"Did you mean {near[0]}? " if near else ""
    ) + f"Filters are: {', '.join(KEYS)}. Words with a colon stand in quotes."


def _one_time(key: str, value: str, now: datetime) -> str:
    """A day stands for its first moment, or with `until` for the first moment after it."""
    try:
        return one_time(value, now, until=key == "until")
    except ValueError as error:
        raise _time_error(key, value, error) from None


def _range(key: str, value: str, now: datetime) -> str:
    try:
        return "..".join(time_ends(value, now) if key == "created" else number_ends(value))
    except ValueError as error:
        if key == "created":
            raise _time_error(key, value, error) from None
        raise QueryError(
            f"{key}: found {value!r}, {error}", advice=f"Write {key}:100, {key}:100..200 or {key}:>=100."
        ) from None


def _time_error(key: str, value: str, error: ValueError) -> QueryError:
    ranges = ", A..B, >=A, <A" if key == "created" else ""
    return QueryError(
        f"{key}: found {value!r}, {error}",
        advice=f"Write 2026-11-22, 2026-11, 2026-11-22T09:30:00Z (UTC unless it says) or 7d{ranges}.",
    )
