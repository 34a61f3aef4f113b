"""Loops over the bytes of decisions' bodies, compiled by numba: what a replay needs of them, without objects for the rest.

They read JSON without white space, keys in any order, compare strings byte by byte, and never read beyond a body. What they do
not expect makes them say so; then `audit.columns` reads the batch another way, which also knows what is wrong with it.
"""
# ruff: noqa: C901, PLR0911, PLR0912 - each loop is one function, and every step of it may find the end too early

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from guard.compiled import compiled

SCHEMA, TIME, TIME_END, POLICY, REVISION, ACTION, STAGE, MODALITY, GENERATOR, TENANT, LANGUAGE, LENGTH, CONTENT, UNMARKED = (
    range(14)
)
PURPOSE, CONSENT = 14, 15
"""Columns of `rows`: numbers of strings, but for the place of the time in its body, the length and two flags. Purpose and
consent are -1 where nothing is said of them."""
ROW, CHECK, VERSION, DIGEST, STATUS, LATENCY, PLACES, START, END, SOURCE = range(10)
"""Columns of `results`; `PLACES`: how many numbers `scanned` has; `SOURCE`: the number of its check, version and digest."""
RESULT, LABEL, SCORE, PLACED = range(4)
"""Columns of `findings`."""
STRINGS = 1 << 14
"""How many different strings a batch may have."""


class Strings(NamedTuple):
    """A table of different strings, each by its place in the bytes."""

    slots: Any
    """A power of two of them, all -1 at first."""
    known: Any
    """First and last of each string's bytes, half-open, by its number."""
    count: Any
    """How many there are, as an array of one."""


class Columns(NamedTuple):
    """What is found."""

    rows: Any
    results: Any
    findings: Any
    done: Any
    """How many results and how many findings there are."""


_QUOTE, _COMMA, _COLON, _BACKSLASH, _OPEN, _CLOSE, _LIST, _LISTED = (ord(sign) for sign in '",:\\{}[]')
_TRUE = ord("t")
_O, _F, _T, _S = (ord(sign) for sign in "ofts")
"""How the words ok, failed, timeout and skipped begin."""


def _hashed(key: str) -> int:
    """The number that `_key` gives a key."""
    number = 0
    for letter in key.encode():
        number = number * 131 + letter
    return (number + 2**63) % 2**64 - 2**63


_K_SCHEMA, _K_TIME, _K_CONTEXT, _K_CONTENT = map(_hashed, ("schema", "time", "context", "content"))
_K_RESULTS, _K_VERDICT, _K_MARKS, _K_VERIFIED = map(_hashed, ("results", "verdict", "marks", "verified"))
_K_POLICY, _K_REVISION, _K_ACTION, _K_STAGE = map(_hashed, ("policy", "revision", "action", "stage"))
_K_MODALITY, _K_GENERATOR, _K_TENANT = map(_hashed, ("modality", "generator", "tenant"))
_K_PURPOSE, _K_CONSENT = map(_hashed, ("purpose", "consent"))
_K_LANGUAGE, _K_LENGTH, _K_CHECK, _K_VERSION = map(_hashed, ("language", "length", "check", "version"))
_K_DIGEST, _K_STATUS, _K_ERROR, _K_LATENCY = map(_hashed, ("digest", "status", "error", "latency_us"))
_K_SCANNED, _K_FINDINGS, _K_LABEL, _K_SCORE, _K_WHERE = map(_hashed, ("scanned", "findings", "label", "score", "where"))


@compiled()
def _string(data: Any, at: int, end: int) -> int:
    """Where the string that begins at a quotation mark is over; -1 when it is not."""
    at += 1
    while at < end:
        sign = data[at]
        if sign == _QUOTE:
            return at + 1
        at += 2 if sign == _BACKSLASH else 1
    return -1


@compiled()
def _value(data: Any, at: int, end: int) -> int:
    """Where a value is over; -1 when it is not."""
    depth = 0
    while 0 <= at < end:
        sign = data[at]
        closes = sign in (_CLOSE, _LISTED)
        if depth == 0 and (closes or sign == _COMMA):
            return at
        if sign == _QUOTE:
            at = _string(data, at, end)
        else:
            at += 1
            depth += 1 if sign in (_OPEN, _LIST) else -1 if closes else 0
        if depth == 0 and (closes or sign == _QUOTE):
            return at
    return -1


@compiled()
def _key(data: Any, at: int, end: int) -> tuple[int, int]:
    """The number of a key, and where its value begins; -1 for anything else."""
    number = 0
    if at >= end or data[at] != _QUOTE:
        return 0, -1
    at += 1
    while at < end and data[at] != _QUOTE:
        if data[at] == _BACKSLASH:
            return 0, -1
        number = number * 131 + data[at]
        at += 1
    if at + 2 >= end or data[at + 1] != _COLON:
        return 0, -1
    return number, at + 2


@compiled()
def _integer(data: Any, at: int, end: int) -> int:
    """A whole number from 0 on; -1 for anything else."""
    number = 0
    if at >= end or end - at > 16:
        return -1
    for place in range(at, end):
        digit = data[place] - 48
        if not 0 <= digit <= 9:
            return -1
        number = number * 10 + digit
    return number


@compiled()
def _number(data: Any, at: int, end: int, strings: Strings) -> int:
    """The number of the string with quotation marks from `at` to `end`, one for the same bytes. -1: no string, or no room."""
    slots, known, count = strings.slots, strings.known, strings.count
    if end - at < 2 or data[at] != _QUOTE:
        return -1
    first, last = at + 1, end - 1
    mixed = last - first
    for place in range(first, min(last, first + 24)):
        mixed = (mixed ^ data[place]) * 1099511628211
    mask = slots.size - 1
    slot = (mixed ^ (mixed >> 29)) & mask
    while slots[slot] >= 0:
        other = slots[slot]
        if known[other, 1] - known[other, 0] == last - first:
            same = True
            for offset in range(last - first):
                if data[first + offset] != data[known[other, 0] + offset]:
                    same = False
                    break
            if same:
                return other  # type: ignore[no-any-return]
        slot = (slot + 1) & mask
    mine = count[0]
    if mine >= known.shape[0]:
        return -1
    slots[slot] = mine
    known[mine, 0], known[mine, 1] = first, last
    count[0] = mine + 1
    return mine  # type: ignore[no-any-return]


@compiled()
def _strings(data: Any, at: int, end: int, row: Any, keys: Any, columns: Any, strings: Strings) -> int:
    """Put the values of an object's keys into columns of a row, strings by their numbers. Where it is over, or -1."""
    if at >= end or data[at] != _OPEN:
        return -1
    at += 1
    while at < end and data[at] == _QUOTE:
        key, value = _key(data, at, end)
        if value < 0:
            return -1
        at = _value(data, value, end)
        if at < 0:
            return -1
        for place in range(keys.size):
            if key == keys[place]:
                whole = columns[place] == LENGTH
                row[columns[place]] = _integer(data, value, at) if whole else _number(data, value, at, strings)
                if row[columns[place]] < 0:
                    return -1
        if at < end and data[at] == _COMMA:
            at += 1
    return at + 1 if at < end and data[at] == _CLOSE else -1


@compiled()
def _marks(data: Any, at: int, end: int) -> tuple[int, bool]:
    """Where a list of marks is over, or -1, and whether one of them did not hold."""
    failed = False
    if at >= end or data[at] != _LIST:
        return -1, failed
    at += 1
    while at < end and data[at] == _OPEN:
        at += 1
        while at < end and data[at] == _QUOTE:
            key, value = _key(data, at, end)
            if value < 0:
                return -1, failed
            at = _value(data, value, end)
            if at < 0:
                return -1, failed
            if key == _K_VERIFIED and data[value] != _TRUE:
                failed = True
            if at < end and data[at] == _COMMA:
                at += 1
        if at >= end or data[at] != _CLOSE:
            return -1, failed
        at += 1
        if at < end and data[at] == _COMMA:
            at += 1
    return (at + 1 if at < end and data[at] == _LISTED else -1), failed


@compiled()
def _findings(data: Any, at: int, end: int, result: int, columns: Columns, strings: Strings) -> int:
    """Read a list of findings. Where it is over, or -1."""
    out, done = columns.findings, columns.done
    if at >= end or data[at] != _LIST:
        return -1
    at += 1
    while at < end and data[at] == _OPEN:
        mine = done[1]
        if mine >= out.shape[0]:
            return -1
        out[mine, RESULT], out[mine, LABEL], out[mine, SCORE], out[mine, PLACED] = result, -1, -1, 0
        at += 1
        while at < end and data[at] == _QUOTE:
            key, value = _key(data, at, end)
            if value < 0:
                return -1
            at = _value(data, value, end)
            if at < 0:
                return -1
            if key == _K_LABEL:
                out[mine, LABEL] = _number(data, value, at, strings)
            elif key == _K_SCORE:
                out[mine, SCORE] = _integer(data, value, at)
            elif key == _K_WHERE:
                out[mine, PLACED] = 1
            if at < end and data[at] == _COMMA:
                at += 1
        if at >= end or data[at] != _CLOSE or out[mine, LABEL] < 0 or out[mine, SCORE] < 0:
            return -1
        done[1] = mine + 1
        at += 1
        if at < end and data[at] == _COMMA:
            at += 1
    return at + 1 if at < end and data[at] == _LISTED else -1


@compiled()
def _scanned(data: Any, at: int, end: int, out: Any) -> bool:
    """Read the numbers of a place; False when it is none."""
    if data[at] != _LIST:
        return False
    count, first = 0, at + 1
    for place in range(at + 1, end):
        if data[place] in (_COMMA, _LISTED):
            number = _integer(data, first, place)
            if number < 0:
                return False
            if count == 0:
                out[START] = number
            elif count == 1:
                out[END] = number
            count, first = count + 1, place + 1
    out[PLACES] = count
    return count in (2, 4)


@compiled()
def _status(data: Any, at: int, end: int, error: int, error_end: int, early: Any) -> int:
    """The number of a status in `guard.recorded`; -1 for another word."""
    sign, size = data[at + 1], end - at - 2
    if sign == _S and size == 7:
        stopped = error_end - error - 2 == early.size
        for offset in range(early.size if stopped else 0):
            stopped = stopped and data[error + 1 + offset] == early[offset]
        return 3 if stopped else 1
    known = (sign == _O and size == 2) or (sign == _T and size == 7) or (sign == _F and size == 6)
    return -1 if not known else 0 if sign == _O else 2 if sign == _T else 1


@compiled()
def _results(data: Any, at: int, end: int, row: int, early: Any, columns: Columns, strings: Strings) -> int:
    """Read a list of results with their findings. Where it is over, or -1."""
    out, done = columns.results, columns.done
    if at >= end or data[at] != _LIST:
        return -1
    at += 1
    while at < end and data[at] == _OPEN:
        mine = done[0]
        if mine >= out.shape[0]:
            return -1
        status, status_end, error, error_end = -1, -1, -1, -1
        out[mine, :] = -1
        out[mine, ROW], out[mine, PLACES] = row, 0
        at += 1
        while at < end and data[at] == _QUOTE:
            key, value = _key(data, at, end)
            if value < 0:
                return -1
            nested = key == _K_FINDINGS
            at = _findings(data, value, end, mine, columns, strings) if nested else _value(data, value, end)
            if at < 0:
                return -1
            if key == _K_CHECK:
                out[mine, CHECK] = _number(data, value, at, strings)
            elif key == _K_VERSION:
                out[mine, VERSION] = _number(data, value, at, strings)
            elif key == _K_DIGEST:
                out[mine, DIGEST] = _number(data, value, at, strings)
            elif key == _K_LATENCY:
                out[mine, LATENCY] = _integer(data, value, at)
            elif key == _K_SCANNED:
                if not _scanned(data, value, at, out[mine]):
                    return -1
            elif key == _K_STATUS:
                status, status_end = value, at
            elif key == _K_ERROR:
                error, error_end = value, at
            if at < end and data[at] == _COMMA:
                at += 1
        if at >= end or data[at] != _CLOSE or status < 0 or error < 0:
            return -1
        out[mine, STATUS] = _status(data, status, status_end, error, error_end, early)
        if (
            out[mine, CHECK] < 0
            or out[mine, VERSION] < 0
            or out[mine, DIGEST] < 0
            or out[mine, STATUS] < 0
            or out[mine, LATENCY] < 0
        ):
            return -1
        done[0] = mine + 1
        at += 1
        if at < end and data[at] == _COMMA:
            at += 1
    return at + 1 if at < end and data[at] == _LISTED else -1


_CONTEXT_KEYS = np.array([_K_STAGE, _K_MODALITY, _K_GENERATOR, _K_TENANT, _K_LANGUAGE, _K_LENGTH, _K_PURPOSE, _K_CONSENT])
_CONTEXT_COLUMNS = np.array([STAGE, MODALITY, GENERATOR, TENANT, LANGUAGE, LENGTH, PURPOSE, CONSENT])
_VERDICT_KEYS = np.array([_K_POLICY, _K_REVISION, _K_ACTION])
_VERDICT_COLUMNS = np.array([POLICY, REVISION, ACTION])


@compiled()
def scan(data: Any, starts: Any, early: Any, columns: Columns, strings: Strings) -> bool:
    """Read bodies that lie one after the other in `data`, from each of `starts` to the next. False: use another way.

    `early`: the error of a check that was stopped early.
    """
    for row in range(starts.size - 1):
        at, end = starts[row], starts[row + 1]
        mine = columns.rows[row]
        mine[:] = -1
        mine[CONTENT], mine[UNMARKED] = 0, 0
        if at >= end or data[at] != _OPEN:
            return False
        at += 1
        while at < end and data[at] == _QUOTE:
            key, value = _key(data, at, end)
            if value < 0:
                return False
            if key == _K_CONTEXT:
                at = _strings(data, value, end, mine, _CONTEXT_KEYS, _CONTEXT_COLUMNS, strings)
            elif key == _K_VERDICT:
                at = _strings(data, value, end, mine, _VERDICT_KEYS, _VERDICT_COLUMNS, strings)
            elif key == _K_RESULTS:
                at = _results(data, value, end, row, early, columns, strings)
            elif key == _K_MARKS:
                at, failed = _marks(data, value, end)
                mine[UNMARKED] = failed
            else:
                at = _value(data, value, end)
                if key == _K_TIME:
                    mine[TIME], mine[TIME_END] = value + 1 - starts[row], at - 1 - starts[row]
                elif key == _K_SCHEMA:
                    mine[SCHEMA] = _integer(data, value, at)
                elif key == _K_CONTENT:
                    mine[CONTENT] = 1
            if at < 0:
                return False
            if at < end and data[at] == _COMMA:
                at += 1
        if at != end - 1 or data[at] != _CLOSE:
            return False
        for column in range(CONTENT):
            if mine[column] < 0:
                return False
    return True


@compiled()
def number(results: Any, slots: Any, known: Any) -> int:
    """Number the triples of check, version and digest in `SOURCE`. How many there are; -1 when `known` has no room for all.

    `slots`: a power of two, all -1 at first, more than `known`, which takes the triples by their numbers.
    """
    count, mask = 0, slots.size - 1
    for row in range(results.shape[0]):
        mine = results[row]
        joined = (mine[CHECK] << 40) | (mine[VERSION] << 20) | mine[DIGEST]
        mixed = joined * 1099511628211
        slot = (mixed ^ (mixed >> 29)) & mask
        while slots[slot] >= 0 and known[slots[slot]] != joined:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            if count >= known.size:
                return -1
            slots[slot], known[count] = count, joined
            count += 1
        mine[SOURCE] = slots[slot]
    return count
