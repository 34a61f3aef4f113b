"""The monthly report as one HTML page that stands alone: figures, charts and what they do not say. It prints as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audit.body import time_string
from audit.charts import COLOURS, bars_chart, days_chart
from audit.statistics import STOPPED, Count, Period, Statistics
from guard.types import Action

TEMPLATE = Path(__file__).with_name("report.html.j2")
TITLES = {"rule": "Rules", "category": "Categories", "generator": "Generators", "tenant": "Tenants", "policy": "Policies"}
_MAX_DAYS = 400
"""Columns that a chart has room for."""


def report(counted: Statistics, ledger: str, made: datetime, *, tenant: str = "") -> str:
    """The page. `ledger`: its identity. `made`: when it was counted. Everything that others wrote is escaped."""
    from jinja2 import Environment, StrictUndefined, Undefined
    from markupsafe import Markup

    undefined: type[Undefined] = StrictUndefined
    page = Environment(autoescape=True, undefined=undefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"share": _share, "count": _count, "hours": _hours}
    period, persons = counted.period, counted.persons
    # Markup: our own SVG, in which every text was escaped.
    by = {name: sorted(counts, key=lambda one: -one.total) for name, counts in counted.by.items()}
    charts = {name: Markup(_bars(counts, TITLES[name])) for name, counts in by.items()}  # noqa: S704
    return page.from_string(TEMPLATE.read_text("utf-8")).render(
        tenant=tenant,
        ledger=ledger,
        made=time_string(made)[:16].replace("T", " "),
        size=counted.size,
        since=f"{period.since:%Y-%m-%d}",
        until=_last(period.until),
        over=period.until <= made,
        before=f"{period.before:%Y-%m-%d}",
        before_until=_last(period.since),
        query=counted.query,
        total=counted.total,
        actions=[_action(counted, action) for action in Action],
        stopped=_of(counted.total.now, STOPPED),
        stopped_before=_of(counted.total.before, STOPPED),
        colours={str(action): colour for action, colour in COLOURS.items()},
        days=Markup(days_chart(_every_day(counted.days, period))),  # noqa: S704
        by={name: [_row(counted, count) for count in counts] for name, counts in by.items()},
        charts=charts,
        titles=TITLES,
        persons=persons,
        persons_before=counted.persons_before,
        queue=counted.queue,
    )


def _action(counted: Statistics, action: Action) -> dict[str, Any]:
    now, before = counted.total.now.get(action, 0), counted.total.before.get(action, 0)
    return {
        "name": str(action),
        "now": now,
        "share": counted.share(now),
        "before": before,
        "share_before": counted.share(before, before=True),
    }


def _row(counted: Statistics, count: Count) -> dict[str, Any]:
    stopped = _of(count.now, STOPPED)
    return {
        "value": count.value,
        "now": count.total,
        "share": counted.share(count.total),
        "before": count.total_before,
        "share_before": counted.share(count.total_before, before=True),
        "stopped": stopped / count.total if count.total else None,
    }


def _bars(counts: Sequence[Count], title: str) -> str:
    return bars_chart([(one.value or "(none)", one.now, one.total_before) for one in counts[:12]], title)


def _every_day(days: Sequence[tuple[str, Mapping[str, int]]], period: Period) -> list[tuple[str, Mapping[str, int]]]:
    """The days of the period, those without decisions too; of a very long one only days that have any."""
    found = dict(days)
    number = (period.until - period.since).days + 1
    if number > _MAX_DAYS:
        return list(days)[:_MAX_DAYS]
    every = (f"{period.since + timedelta(days=day):%Y-%m-%d}" for day in range(number))
    last = _last(period.until)
    return [(day, found.get(day, {})) for day in every if day <= last]


def _of(counts: Mapping[str, int], actions: Iterable[Action]) -> int:
    return sum(counts.get(action, 0) for action in actions)


def _last(until: datetime) -> str:
    return f"{until - timedelta(microseconds=1):%Y-%m-%d}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _count(value: int) -> str:
    return f"{value:,}"


def _hours(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f} h" if value < 72 else f"{value / 24:.1f} days"
