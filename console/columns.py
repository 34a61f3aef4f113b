"""Counts over time as columns of a chart: by hour, day or month, whichever fits, and none left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from audit.charts import round_up
from audit.facets import Series
from guard.types import Action

Unit = Literal["hour", "day", "month"]
WIDTH, HEIGHT = 960, 120
"""Of the drawing, in its own units."""
HOURS, DAYS = 72, 92
"""The longest stretch that is shown by the hour, and by the day."""
_LEFT, _BOTTOM, _TOP = 44, 18, 8
_ORDER = tuple(Action)


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
    created: str
    """The filter `created` for it."""
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


def chart_of(series: Series) -> Chart | None:
    """A series by the hour as a chart; None when nothing was counted."""
    if not series.points:
        return None
    counted = {datetime.fromisoformat(moment): Counter(counts) for moment, counts in series.points}
    first, last = min(counted), max(counted)
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
        _column(start, unit, found.get(start, Counter()), top, (_LEFT + number * step, step), shown=number % labelled == 0)
        for number, start in enumerate(starts)
    )
    return Chart(unit, columns, top, sum(one.total for one in columns), series.complete)


def _column(
    start: datetime, unit: Unit, counts: Mapping[str, int], top: int, place: tuple[float, float], *, shown: bool
) -> Column:
    pieces, below = [], 0
    known = sorted(counts, key=lambda name: (_ORDER.index(Action(name)) if name in _ORDER else -1, name))
    for name in known:
        high = _height(below + counts[name], top)
        pieces.append(Piece(name, counts[name], high, _height(below, top) - high))
        below += counts[name]
    name, label, created = _names(start, unit)
    return Column(name, created, below, tuple(pieces), place[0], place[1], label if shown else "")


def _names(start: datetime, unit: Unit) -> tuple[str, str, str]:
    """The name of a stretch, what stands below it, and the filter for it."""
    if unit == "hour":
        until = start + timedelta(hours=1) - timedelta(microseconds=1)
        created = f"{start:%Y-%m-%dT%H:%M:%SZ}..{until:%Y-%m-%dT%H:%M:%S.%fZ}"
        return f"{start:%Y-%m-%d %H:%M}", f"{start:%H:%M}", created
    if unit == "day":
        return f"{start:%Y-%m-%d}", f"{start:%m-%d}", f"{start:%Y-%m-%d}"
    return f"{start:%Y-%m}", f"{start:%Y-%m}", f"{start:%Y-%m}"


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
