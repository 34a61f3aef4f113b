"""`genguard audit stats | report`: what was decided over a period, on the terminal and as a page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guard.errors import InputError
from guard.types import Action
from serving.settings import DEFAULT_LEDGER
from terminal.printing import Json, print_json, printable

if TYPE_CHECKING:
    from audit.statistics import Count, Period, Persons, Statistics

Ledger = Annotated[str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Whose decisions: an SQLAlchemy URL.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Only this tenant's decisions.")]
Filters = Annotated[
    list[str] | None, typer.Argument(help="tenant:acme since:2026-11-01 until:2026-11-30 …, as for `audit query`.")
]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("stats")(stats)
    app.command("report")(write_report)


def stats(
    filters: Filters = None,
    month: Annotated[str, typer.Option("--month", help="A calendar month, 2026-11; the last 30 days when left out.")] = "",
    tenant: Tenant = "",
    top: Annotated[int, typer.Option("--top", min=1, max=10_000, help="Values shown of each kind.")] = 10,
    ledger: Ledger = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Count decisions by action, rule, category, generator, tenant and policy, beside the period before."""
    counted = _counted(filters, month, tenant, ledger, top)
    if as_json:
        print_json(fields(counted))
    else:
        _print(counted)


def write_report(
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write; one that is there is replaced.")],
    filters: Filters = None,
    month: Annotated[str, typer.Option("--month", help="A calendar month, 2026-11; the last 30 days when left out.")] = "",
    tenant: Tenant = "",
    ledger: Ledger = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Write a page with figures and charts: it loads nothing, runs nothing, and prints well."""
    from audit.query import identity
    from audit.report import report
    from audit.statistics import TOP

    counted = _counted(filters, month, tenant, ledger, TOP)
    page = report(counted, identity(ledger), datetime.now(UTC), tenant=tenant)
    if not out.absolute().parent.is_dir():
        raise InputError(f"there is no folder {out.parent}, expected one for {out.name}", advice="Make the folder first.")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.write_text(page, "utf-8")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        print_json({"path": str(out), **fields(counted)})
    else:
        typer.echo(f"{out}: {counted.total.total:,} decisions from {_days(counted.period)}")


def _counted(filters: Sequence[str] | None, month: str, tenant: str, ledger: str, top: int) -> Statistics:
    from audit.statistics import Period, period_of, statistics

    query = " ".join(filters or ())
    if month:
        return statistics(ledger, Period.month(month), query, tenant=tenant, top=top)
    period, rest = period_of(query, datetime.now(UTC))
    return statistics(ledger, period, rest, tenant=tenant, top=top)


def fields(counted: Statistics) -> dict[str, Any]:
    """Statistics as JSON has them."""
    from audit.body import time_string

    period = counted.period
    return {
        "since": time_string(period.since),
        "until": time_string(period.until),
        "before": time_string(period.before),
        "query": counted.query,
        "total": _count(counted.total),
        "by": {name: [{"value": one.value, **_count(one)} for one in counts] for name, counts in counted.by.items()},
        "days": [{"day": day, "actions": dict(actions)} for day, actions in counted.days],
        "persons": _persons(counted.persons),
        "persons_before": _persons(counted.persons_before),
        "queue": asdict(counted.queue),
        "size": counted.size,
    }


def _count(one: Count) -> dict[str, Any]:
    return {"count": one.total, "actions": dict(one.now), "count_before": one.total_before, "actions_before": dict(one.before)}


def _persons(persons: Persons) -> dict[str, Any]:
    return {**asdict(persons), "overturn_rate": persons.overturn_rate}


def _days(period: Period) -> str:
    return f"{period.since:%Y-%m-%d %H:%M} to {period.until:%Y-%m-%d %H:%M} UTC"


def _print(counted: Statistics) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if os.isatty(1) else 140)
    console.print(Text(f"{_days(counted.period)}, beside the time since {counted.period.before:%Y-%m-%d %H:%M}"))
    for title, counts in {"all": [counted.total], **counted.by}.items():
        table = Table(title, *Action, "sum", "share", "before", "share before", box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for one in counts:
            shares = counted.share(one.total), counted.share(one.total_before, before=True)
            table.add_row(Text(printable(one.value)), *_cells(one.now), f"{one.total:,}", f"{shares[0]:.1%}",
                          f"{one.total_before:,}", f"{shares[1]:.1%}")  # fmt: skip
        console.print(table)
        console.print()
    persons, queue = counted.persons, counted.queue
    rate = "" if persons.overturn_rate is None else f" ({persons.overturn_rate:.1%})"
    console.print(f"Persons looked at {persons.decided:,} automatic decisions and overturned {persons.overturned:,}{rate};")
    console.print(f"of held outputs they released {persons.held_released:,} and withheld {persons.held_withheld:,}.")
    ages = (
        f", half of them longer than {queue.median_hours:.1f} h, the oldest {queue.oldest_hours:.1f} h" if queue.waiting else ""
    )
    console.print(f"Waiting at the end: {queue.waiting:,}{ages}. Appeals {persons.appeals:,}, feedback {persons.feedback:,}.")


def _cells(counts: Mapping[str, int]) -> list[str]:
    return [f"{counts[action]:,}" if action in counts else "" for action in Action]
