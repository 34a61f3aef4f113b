"""`genguard audit streams`: outputs that began to leave and have no decision."""

from __future__ import annotations

from dataclasses import asdict

import typer

from serving.settings import DEFAULT_LEDGER
from terminal.actor import LedgerUrl
from terminal.printing import Json, print_json, printable

ALL_DECIDED, SOME_OPEN = 0, 1


def add(app: typer.Typer) -> None:
    """Add the command to those on the ledger."""
    app.command("streams")(streams)


def streams(ledger: LedgerUrl = DEFAULT_LEDGER, as_json: Json = False) -> None:
    """List outputs that began to leave and have no decision: a crash cut them off, or they are on their way.

    Exits 0 when there are none, 1 when there are.
    """
    from audit.streams import unfinished

    found = unfinished(ledger)
    if as_json:
        print_json({"unfinished": [asdict(one) for one in found]})
    else:
        for one in found:
            typer.echo(f"{one.idx}  {one.time}  {printable(one.tenant)}  {printable(one.generator)}  {printable(one.request)}")
        typer.echo(f"{len(found)} outputs without a decision")
    raise typer.Exit(SOME_OPEN if found else ALL_DECIDED)
