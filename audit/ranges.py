"""Ranges of times and numbers as a query writes them: `a`, `a..b`, `a..`, `..b`, `>=a`, `>a`, `<=a`, `<a`.

A time is a year, a month, a day (each stands for all of it), a moment, or how long ago: `90m`, `12h`, `7d`, `4w`. UTC unless
it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from audit.body import time_string

MAX_NUMBER = 2**53 - 1
"""The largest number in the ledger."""
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([mhdw])")
_MONTH = re.compile(r"(\d{4})(?:-(\d{2}))?")
_TICK = timedelta(microseconds=1)

Ends = tuple[str, str]
T = TypeVar("T")


def time_ends(text: str, now: datetime) -> Ends:
    """The first time of a range and the first one after it, as the ledger writes times; an open end is empty.

    Raises ValueError, saying what was expected.
    """
    low, high = _range(text, lambda one: _span(one, now))
    return (time_string(low[0]) if low else "", time_string(high[1]) if high else "")


def one_time(text: str, now: datetime, *, until: bool) -> str:
    """The first moment of what a time stands for; with `until`, of a day, month or year the first one after it.

    Raises ValueError, saying what was expected.
    """
    start, end = _span(text, now)
    return time_string(end if until and end - start > _TICK else start)


def number_ends(text: str) -> Ends:
    """The first and the last number of a range; an open end is empty. Raises ValueError, saying what was expected."""
    low, high = _range(text, lambda one: (_number(one), _number(one) + 1))
    return (str(low[0]) if low else "", str(high[1] - 1) if high else "")


def _range(text: str, read: Callable[[str], tuple[T, T]]) -> tuple[tuple[T, T] | None, tuple[T, T] | None]:
    """What the range's first and last value stand for: each as where it begins, and where what follows it begins."""
    for sign in (">=", "<=", ">", "<"):
        if text.startswith(sign):
            start, end = read(text[len(sign) :])
            if sign[0] == ">":
                first = start if sign == ">=" else end
                return (first, first), None
            last = end if sign == "<=" else start
            return None, (last, last)
    first_text, dots, last_text = text.partition("..")
    if not dots:
        only = read(text)
        return only, only
    low, high = (read(one) if one else None for one in (first_text, last_text))
    if low is None and high is None:
        raise ValueError("expected at least one end")
    if low is not None and high is not None and high[1] <= low[0]:  # type: ignore[operator]
        raise ValueError("expected a range whose first end is the smaller one")
    return low, high


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and int(text) <= MAX_NUMBER):
        raise ValueError(f"expected whole numbers up to {MAX_NUMBER}")
    return int(text)


def _span(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Where what a time stands for begins and where it has ended. Raises ValueError."""
    try:
        if ago := _AGO.fullmatch(text):
            moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return moment, moment + _TICK
        if month := _MONTH.fullmatch(text):
            year, number = int(month[1]), int(month[2] or 1)
            months = 1 if month[2] else 12
            after = year * 12 + number - 1 + months
            return datetime(year, number, 1, tzinfo=UTC), datetime(after // 12, after % 12 + 1, 1, tzinfo=UTC)
        if len(text) == 10:
            day = date.fromisoformat(text)
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return start, start + timedelta(days=1)
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        return moment, moment + _TICK
    except (ValueError, OverflowError):
        raise ValueError("expected a day, a month, a time, or how long ago") from None
