"""`genguard audit stream`: entries handed on while they come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from guard.errors import LedgerError
from serving.settings import DEFAULT_LEDGER, Settings
from terminal.actor import KeyFile
from terminal.actor import actor as actor_named
from terminal.audit_export import Actor
from terminal.printing import Json, print_json

TRIES = 5
"""How often a batch is tried without --follow."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stream")(stream)


def stream(
    to: Annotated[
        str, typer.Option("--to", help="syslog://HOST:PORT, syslog+tls://…, syslog+udp://…, https://HOST/PATH, or a file.")
    ],
    cursor: Annotated[Path, typer.Option("--cursor", help="File that says where the stream goes on; made when there is none.")],
    filters: Annotated[list[str] | None, typer.Argument(help="action:block tenant:acme …, as for `audit query`.")] = None,
    form: Annotated[str, typer.Option("--format", help="jsonl, or ocsf: only decisions in which a rule fired.")] = "jsonl",
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until interrupted.")] = False,
    every_kind: Annotated[bool, typer.Option("--all-kinds", help="Entries of every kind, not only decisions.")] = False,
    actor: Actor = "",
    ledger: Annotated[
        str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Whose entries: an SQLAlchemy URL.")
    ] = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Send each entry at least once, in order; a web hook's token is read from GENGUARD_STREAM_TOKEN. Its begin is recorded."""
    from audit.events import EXPORT, Event, Value
    from audit.export.ocsf import finding_line
    from audit.export.selection import Selection
    from audit.export.sinks import open_sink
    from audit.export.stream import Cursor, Stream
    from audit.export.tables import json_line
    from audit.ledger import open_ledger
    from audit.query import identity
    from audit.webhook import read_secret

    writers = {"jsonl": json_line, "ocsf": finding_line}
    if form not in writers:
        raise typer.BadParameter(f"found {form!r}, expected jsonl or ocsf", param_hint="--format")
    query = " ".join(filters or ())
    selection = Selection(query, every_kind)
    secret = read_secret(Settings.read().webhook_secret.get_secret_value())
    sink = open_sink(to, os.environ.get("GENGUARD_STREAM_TOKEN", ""), secret)
    place = Cursor(cursor, identity(ledger))
    told: dict[str, Value] = {"format": f"stream {form}", "query": query, "first": place.read()}
    with open_ledger(ledger, key_file=key_file) as opened:
        opened.record_sync(Event(EXPORT, actor_named(actor), told))
    run = Stream(
        ledger,
        selection,
        sink,
        place,
        writers[form],
        None if follow else TRIES,
        lambda text: typer.echo(f"{to}: {text}", err=True),
    )
    try:
        run.run(follow=follow)
    except OSError as error:
        raise LedgerError(
            f"the stream stopped: {error.strerror or type(error).__name__}",
            advice=f"What was acknowledged is in {cursor}; run it again to go on.",
        ) from None
    finally:
        sink.close()
        if as_json:
            print_json({"to": to, "sent": run.sent, "next": place.read()})
        else:
            typer.echo(f"{to}: {run.sent:,} entries sent; next is {place.read()}")
