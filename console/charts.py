"""Decisions over time as columns of a chart: by hour, day or month, whichever fits, and none left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from audit.facets import Series
from audit.statistics import Period
from console import filters
from guard.types import Action

Unit = Literal["hour", "day", "month"]
WIDTH, HEIGHT = 960, 160
"""Of the drawing, in its own units."""
HOURS, DAYS = 72, 92
"""The longest stretch that is shown by the hour, and by the day."""
_LEFT, _BOTTOM, _TOP = 44, 18, 8
_ORDER = tuple(Action)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a column: one action."""

    action: str
    count: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One stretch of time."""

    name: str
    """`2026-11-28 09:00`, `2026-11-28`, `2026-11`: UTC."""
    href: str
    """Where its decisions are listed."""
    total: int
    pieces: tuple[Piece, ...]
    x: float
    width: float
    label: str
    """What stands below it; empty below most."""


@dataclass(frozen=True, slots=True)
class Chart:
    """All columns, the oldest first."""

    unit: Unit
    columns: tuple[Column, ...]
    top: int
    """What the highest line stands for."""
    total: int
    complete: bool

    @property
    def lines(self) -> tuple[tuple[int, float], ...]:
        """Values with the height that their line is at."""
        values = sorted({0, self.top // 2, self.top})
        return tuple((value, _height(value, self.top)) for value in values)


def chart_of(series: Series, query: str = "", period: Period | None = None) -> Chart | None:
    """A series by the hour as a chart; None when nothing was counted.

    `query`: what was counted. `period`: what is to be shown; what was counted first and last when left out.
    """
    if not series.points:
        return None
    counted = {datetime.fromisoformat(moment): Counter(counts) for moment, counts in series.points}
    first, last = (period.since, period.until - _TICK) if period is not None else (min(counted), max(counted))
    unit: Unit = "hour" if last - first < timedelta(hours=HOURS) else "day" if last - first < timedelta(days=DAYS) else "month"
    found: dict[datetime, Counter[str]] = {}
    for moment, counts in counted.items():
        found.setdefault(_start(moment, unit), Counter()).update(counts)
    starts = [_start(first, unit)]
    while starts[-1] < _start(last, unit):
        starts.append(_next(starts[-1], unit))
    top = round_up(max(counts.total() for counts in found.values()))
    step = (WIDTH - _LEFT) / max(len(starts), 12)
    labelled = max(1, len(starts) // 8)
    columns = tuple(
        _column(
            _names(start, unit, period),
            query,
            found.get(start, Counter()),
            top,
            (_LEFT + number * step, step),
            shown=number % labelled == 0,
        )
        for number, start in enumerate(starts)
    )
    return Chart(unit, columns, top, sum(one.total for one in columns), series.complete)


def _column(
    names: tuple[str, str, str], query: str, counts: Mapping[str, int], top: int, place: tuple[float, float], *, shown: bool
) -> Column:
    pieces, below = [], 0
    known = sorted(counts, key=lambda name: (_ORDER.index(Action(name)) if name in _ORDER else -1, name))
    for name in known:
        high = _height(below + counts[name], top)
        pieces.append(Piece(name, counts[name], high, _height(below, top) - high))
        below += counts[name]
    name, label, created = names
    href = filters.address(filters.within(query, created))
    return Column(name, href, below, tuple(pieces), place[0], place[1], label if shown else "")


def _names(start: datetime, unit: Unit, period: Period | None) -> tuple[str, str, str]:
    """The name of a stretch, what stands below it, and the filter `created` for what of it is shown."""
    since, until = start, _next(start, unit)
    if period is not None:
        since, until = max(since, period.since), min(until, period.until)
    whole = (since, until) == (start, _next(start, unit))
    if unit == "hour" or not whole:
        created = f"{since:%Y-%m-%dT%H:%M:%SZ}..{until - _TICK:%Y-%m-%dT%H:%M:%S.%fZ}"
    else:
        created = f"{start:%Y-%m-%d}" if unit == "day" else f"{start:%Y-%m}"
    if unit == "hour":
        return f"{start:%Y-%m-%d %H:%M}", f"{start:%H:%M}", created
    return (f"{start:%Y-%m-%d}", f"{start:%m-%d}", created) if unit == "day" else (f"{start:%Y-%m}", f"{start:%Y-%m}", created)


def _start(moment: datetime, unit: Unit) -> datetime:
    if unit == "hour":
        return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day if unit == "day" else day.replace(day=1)


def _next(start: datetime, unit: Unit) -> datetime:
    if unit == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + (timedelta(hours=1) if unit == "hour" else timedelta(days=1))


def _height(value: float, top: int) -> float:
    return HEIGHT - _BOTTOM - value / top * (HEIGHT - _BOTTOM - _TOP)


def round_up(most: int) -> int:
    """The next number that reads well and halves well: 2, 4, 10, 20, 40, 100 …"""
    size = 1
    while True:
        for factor in (2, 4, 10):
            if most <= factor * size:
                return factor * size
        size *= 10
