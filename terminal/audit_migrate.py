"""`genguard audit migrate`: the tables of an older ledger brought to the form of now."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.settings import DEFAULT_LEDGER
from terminal.actor import LedgerUrl
from terminal.printing import Json, print_json

DUE = 1
"""What `--check` and `--sql` end with when something is due."""


def add(app: typer.Typer) -> None:
    """Add the command to those on the ledger."""
    app.command("migrate")(migrate)


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Only say what is due; 1 when something is.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that is due, and run nothing.")] = False,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Bring the ledger's tables to the form of this version. Whatever writes to it does that by itself; entries stay."""
    from audit.migrate import LATEST
    from audit.migrate import check as look
    from audit.migrate import migrate as run

    if not (check or sql):
        found, statements = run(ledger), ""
    else:
        found, statements = look(ledger)
    changed = not (check or sql)
    if as_json:
        fields = {"revision": LATEST if changed else found.current, "latest": LATEST, "sql": statements}
        print_json({**fields, ("applied" if changed else "due"): list(found.pending)})
    elif sql:
        typer.echo(statements, nl=False)
    elif changed:
        typer.echo(f"revision {LATEST}; applied: {', '.join(found.pending) or 'nothing, it was up to date'}")
    else:
        typer.echo(f"revision {found.current}; due: {', '.join(found.pending) or 'nothing'}")
    raise typer.Exit(DUE if found.pending and not changed else 0)
