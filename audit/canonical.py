"""The one byte string that a body has: canonical JSON (RFC 8785, "JCS"), over a subset in which nothing is ambiguous.

Allowed are objects with string keys, lists, strings, booleans and integers of magnitude below 2**53. Floats and null are
refused: two programs may print a float differently, and an absent value is an absent key. Strings are never normalised.

`rfc8785` is the normative canonicaliser. `orjson` writes the same bytes much faster as long as every key is ASCII: JCS
sorts keys by UTF-16 code units, orjson by UTF-8 bytes, and the two orders differ above U+FFFF.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import rfc8785

from guard.errors import LedgerError

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def dumps(value: Mapping[str, Any]) -> bytes:
    """Canonical bytes of one object. Raises LedgerError, naming the place, for a value outside the subset."""
    try:
        if _plain(value, ""):
            return orjson.dumps(value, option=_OPTIONS)
        return rfc8785.dumps(dict(value))
    except (orjson.JSONEncodeError, rfc8785.CanonicalizationError, UnicodeError) as error:
        # What is left at this point: a string that is not Unicode text (a lone surrogate). Its place is not known.
        raise LedgerError(
            f"a value cannot be written as canonical JSON: {type(error).__name__}, expected Unicode text"
        ) from None


def loads(data: bytes) -> dict[str, Any]:
    """The object that canonical bytes hold. Raises LedgerError for anything but the canonical form of an object."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise LedgerError(f"found bytes that are not JSON ({error.msg} at {error.pos}), expected a canonical object") from None
    if not isinstance(value, dict):
        raise LedgerError(f"found a JSON {type(value).__name__}, expected an object")
    try:
        canonical = dumps(value)
    except RecursionError:
        raise LedgerError("found JSON that is nested too deeply, expected a body") from None
    if canonical != data:
        raise LedgerError("found JSON that is not in canonical form (RFC 8785)")
    return value


def _plain(value: Any, place: str) -> bool:
    """Whether every key is ASCII; raises LedgerError for a type outside the subset. Exact types: subclasses may lie."""
    kind = type(value)
    if kind is str or kind is bool:
        return True
    if kind is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return True
        raise LedgerError(f"{place or 'value'}: found an integer beyond 2**53, expected one that every reader keeps")
    if kind is dict:
        plain = True
        for key, part in value.items():
            if type(key) is not str:
                raise LedgerError(f"{place or 'value'}: found a key of type {type(key).__name__}, expected str")
            plain = _plain(part, key) and key.isascii() and plain
        return plain
    if kind is list or kind is tuple:
        plain = True
        for part in value:
            plain = _plain(part, place) and plain
        return plain
    raise LedgerError(
        f"{place or 'value'}: found {kind.__name__}, expected str, int, bool, list or dict",
        advice="Scores are integers per mille and times are strings; an absent value is left out.",
    )
