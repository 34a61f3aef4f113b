"""`genguard audit query | search | policy`: entries listed and counted, saved queries, recorded policies."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.facets import Counts, Series
from serving.search import counts_fields
from serving.settings import DEFAULT_LEDGER
from terminal.actor import LedgerUrl
from terminal.printing import Json, print_json, printable

Filters = Annotated[
    list[str] | None, typer.Argument(help="action:block category:privacy created:2026-11-01..2026-11-07 words …")
]
Exclude = Annotated[list[str] | None, typer.Option("--not", help="Leave these out: --not generator:echo.")]
Limit = Annotated[int, typer.Option(min=1, max=1000)]
Before = Annotated[int | None, typer.Option(help="Only entries before this index: the next page.")]
Facets = Annotated[bool, typer.Option("--facets", help="Also count by action, rule, category and so on.")]
Bucket = Annotated[str | None, typer.Option("--series", help="Count by hour, day or month instead, for each action.")]
Key = Annotated[str | None, typer.Option("--top", help="Count by the values of this key instead: rule, tenant, …")]

_ORDER = ("allow", "label", "redact", "review", "block")
search_app = typer.Typer(help="Keep queries under a name, and run them.", no_args_is_help=True)


def query_command(
    filters: Filters = None,
    exclude: Exclude = None,
    limit: Limit = 20,
    before: Before = None,
    facets: Facets = False,
    series: Bucket = None,
    top: Key = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """List decisions, newest first, or count them."""
    text = " ".join([*(filters or ()), *(f"-{one}" for one in exclude or ())])
    _answer(text, limit, before, (facets, series, top), ledger, as_json=as_json)


def _answer(
    text: str,
    limit: int,
    before: int | None,
    counts: tuple[bool, str | None, str | None],
    ledger: str,
    *,
    as_json: bool,
) -> None:
    """`counts`: whether facets, a series by what, the most frequent values of what."""
    from audit import facets as counting
    from audit.query import query
    from terminal import display

    facets, bucket, key = counts
    if bucket is not None and key is not None:
        raise typer.BadParameter("found --series and --top, expected one of them", param_hint="--top")
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    if bucket is not None:
        counted = counting.series(ledger, bucket, text)
        print_json(series_fields(counted)) if as_json else _print_series(console, counted)
        return
    if key is not None:
        found = counting.top(ledger, key, text, most=limit)
        print_json(counts_fields(found)) if as_json else _print_counts(console, found)
        return
    page = query(ledger, text, limit=limit, before=before)
    beside = counting.facets(ledger, text) if facets else None
    if as_json:
        print_json(display.page_fields(page) | ({"facets": counts_fields(beside)} if beside else {}))
        return
    display.print_page(page)
    if beside is not None:
        _print_counts(console, beside)


def series_fields(series: Series) -> dict[str, Any]:
    """A series as plain fields."""
    return asdict(series) | {"points": [{"time": moment, "counts": counted} for moment, counted in series.points]}


def _print_counts(console: Console, counts: Counts) -> None:
    """Each key with its values; a number that may be larger has a plus."""
    more = "" if counts.complete else "+"
    for key, values in counts.values.items():
        if values:
            told = ", ".join(f"{printable(value)} {number}{more}" for value, number in values)
            console.print(f"[bold]{key:<12}[/]{escape(told)}", highlight=False)
    console.print(_reach(f"{counts.total}{more} entries counted", counts), highlight=False)


def _print_series(console: Console, series: Series) -> None:
    names = sorted(
        {name for _, counted in series.points for name in counted},
        key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name),
    )
    table = Table("time", *names, "all", pad_edge=False, box=None)
    for moment, counted in series.points:
        table.add_row(moment, *[str(counted.get(name, 0)) for name in names], str(sum(counted.values())))
    console.print(table)
    total = sum(sum(counted.values()) for _, counted in series.points)
    console.print(_reach(f"{total} entries counted", series), highlight=False)


def _reach(told: str, counted: Counts | Series) -> str:
    return told if counted.complete else f"{told}, from entry {counted.since} on: {counted.why}; those before are not counted"


@search_app.command("save")
def save_command(
    name: Annotated[str, typer.Argument(help="What it is called: letters, digits, dots, hyphens.")],
    filters: Annotated[list[str], typer.Argument(help="The query.")],
    exclude: Exclude = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Keep a query beside the ledger, in place of one of that name."""
    from audit.saved import save_search

    text = " ".join([*filters, *(f"-{one}" for one in exclude or ())])
    save_search(ledger, name, text)
    print_json({"name": name, "query": text}) if as_json else typer.echo(f"saved {name}: {text}")


@search_app.command("list")
def list_command(ledger: LedgerUrl = DEFAULT_LEDGER, as_json: Json = False) -> None:
    """Show all that are kept."""
    from audit.saved import saved_searches

    found = saved_searches(ledger)
    if as_json:
        print_json({"searches": [{"name": name, "query": query} for name, query in found.items()]})
        return
    for name, query in found.items():
        typer.echo(f"{printable(name)}: {printable(query)}")


@search_app.command("run")
def run_command(
    name: Annotated[str, typer.Argument(help="Which.")],
    filters: Annotated[list[str] | None, typer.Argument(help="More filters, which hold as well.")] = None,
    limit: Limit = 20,
    before: Before = None,
    facets: Facets = False,
    series: Bucket = None,
    top: Key = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Run one, as `audit query` would."""
    from audit.saved import saved_search

    text = " ".join([saved_search(ledger, name), *(filters or ())])
    _answer(text, limit, before, (facets, series, top), ledger, as_json=as_json)


@search_app.command("delete")
def delete_command(
    name: Annotated[str, typer.Argument(help="Which.")], ledger: LedgerUrl = DEFAULT_LEDGER, as_json: Json = False
) -> None:
    """Forget one."""
    from audit.saved import delete_search

    delete_search(ledger, name)
    print_json({"deleted": name}) if as_json else typer.echo(f"deleted {name}")


def policy_command(
    revision: Annotated[str, typer.Argument(help="A policy's revision, at least its beginning.")],
    out: Annotated[Path | None, typer.Option(help="Write it here; standard output by default.")] = None,
    ledger: LedgerUrl = DEFAULT_LEDGER,
) -> None:
    """Print a recorded policy document byte for byte: its SHA-256 is the revision."""
    from audit.history import document

    data = document(ledger, revision).encode("utf-8")
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        out.write_bytes(data)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("query")(query_command)
    app.command("policy")(policy_command)
    app.add_typer(search_app, name="search")
