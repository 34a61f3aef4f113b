"""`genguard policy coverage`: a policy held against outside taxonomies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guard.errors import InputError
from guard.taxonomies import TAXONOMIES

if TYPE_CHECKING:
    from policies.coverage import Coverage, Covered


def add(app: typer.Typer) -> None:
    """Add the command to `genguard policy`."""
    app.command("coverage")(coverage)


def coverage(
    policy: Annotated[str, typer.Argument(help="A policy file or pack name.")],
    taxonomy: Annotated[
        str | None, typer.Option(help=f"{', '.join(TAXONOMIES)}. Left out: how much of each is covered.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Say which items of an outside taxonomy the rules of a policy act on, and name those that none does."""
    from policies import coverage as measure
    from policies import load

    if taxonomy is not None and taxonomy not in TAXONOMIES:
        raise InputError(f"--taxonomy: found {taxonomy!r}, expected one of: {', '.join(TAXONOMIES)}")
    loaded = load(policy)
    reports = [measure.coverage(loaded, name) for name in ([taxonomy] if taxonomy else TAXONOMIES)]
    if as_json:
        found = [fields(report) for report in reports]
        typer.echo(json.dumps(found[0] if taxonomy else found, ensure_ascii=False, indent=2))
    elif taxonomy:
        _print(reports[0])
    else:
        _print_all(reports)


def fields(report: Coverage) -> dict[str, Any]:
    """A report as JSON values."""
    return {
        "policy": report.policy,
        "revision": report.revision,
        "taxonomy": report.taxonomy.name,
        "title": report.taxonomy.title,
        "note": report.taxonomy.note,
        "total": len(report.items),
        "covered": [_item(one) for one in report.covered],
        "uncovered": [_item(one) for one in report.uncovered],
    }


def _item(one: Covered) -> dict[str, Any]:
    return {
        "code": one.item.code,
        "title": one.item.title,
        "categories": list(one.categories),
        "rules": list(one.rules),
        "checks": list(one.checks),
        "recorded": list(one.recorded),
        "gap": one.gap,
    }


def _print(report: Coverage) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=160)
    table = Table(title=f"{escape(report.policy)}: {report.taxonomy.title}", pad_edge=False)
    for header in ("item", "rules", "checks"):
        table.add_column(header)
    for one in report.covered:
        table.add_row(escape(str(one.item)), escape(", ".join(one.rules)), escape(", ".join(one.checks)))
    console.print(table)
    console.print(f"{len(report.covered)} of {len(report.items)} items have a rule that acts on them. Not covered:")
    for one in report.uncovered:
        console.print(f"  {one.item}: {one.gap}", highlight=False, markup=False)
    if report.taxonomy.note:
        console.print(f"Of {report.taxonomy.title} {report.taxonomy.note}.", highlight=False, markup=False)


def _print_all(reports: list[Coverage]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(pad_edge=False)
    table.add_column("taxonomy")
    table.add_column("covered", justify="right")
    table.add_column("items", justify="right")
    table.add_column("--taxonomy")
    for report in reports:
        table.add_row(report.taxonomy.title, str(len(report.covered)), str(len(report.items)), report.taxonomy.name)
    Console().print(table)
