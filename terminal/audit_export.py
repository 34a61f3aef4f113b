"""`genguard audit export`: entries as evidence that proves itself, or as files for spreadsheets, authorities and desks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.settings import DEFAULT_LEDGER
from terminal.actor import KeyFile
from terminal.actor import actor as actor_named
from terminal.printing import Json, print_json
from terminal.proofs import Anchors, LogKeyFile, anchor_targets, log_keys, signed

if TYPE_CHECKING:
    from audit.export.handover import HandedOver

Actor = Annotated[
    str, typer.Option("--actor", envvar="GENGUARD_ACTOR", help="Who exports; recorded. Your user name by default.")
]


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(audit_export)


def audit_export(
    out: Annotated[Path, typer.Argument(help="The file to write; never written over.")],
    filters: Annotated[
        list[str] | None, typer.Argument(help="action:block tenant:acme since:2026-11-01 …, as for `audit query`.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="bundle, csv, jsonl, parquet, dsa, ocsf. By the file's ending when left out.")
    ] = "",
    exclude: Annotated[list[str] | None, typer.Option("--not", help="Leave these out: --not generator:echo.")] = None,
    every_kind: Annotated[bool, typer.Option("--all-kinds", help="Entries of every kind, not only decisions.")] = False,
    actor: Actor = "",
    ledger: Annotated[
        str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Whose entries: an SQLAlchemy URL.")
    ] = DEFAULT_LEDGER,
    anchor: Anchors = None,
    key_file: KeyFile = None,
    log_key_file: LogKeyFile = None,
    as_json: Json = False,
) -> None:
    """Write entries into a file, and record that; content is never exported."""
    from audit.export.run import BUNDLE, Order, export
    from audit.grammar import parse
    from audit.ledger import open_ledger
    from audit.query import identity

    query = " ".join([*(filters or ()), *(f"-{one}" for one in exclude or ())])
    parse(query)
    wanted = form or _ENDINGS.get(out.suffix, BUNDLE)
    identity(ledger)  # before anything is made
    note, key = signed(ledger, anchor_targets(anchor), log_key_file) if wanted == BUNDLE else ("", None)
    public = key.public if key else None
    chain = log_keys(ledger, log_key_file).chain() if key else ""
    order = Order(ledger, wanted, query, actor_named(actor), every_kind, checkpoint=note, key=public, chain=chain)
    with open_ledger(ledger, key_file=key_file) as opened, _progress(quiet=as_json) as begin:
        done = export(order, out, opened.record_sync, begin)
    if as_json:
        print_json({**asdict(done), "path": str(done.path)})
    else:
        _print(done)


_ENDINGS = {".zip": "bundle", ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}


def _print(done: HandedOver) -> None:
    written = done.written
    noun = {"dsa": "statements", "ocsf": "findings"}.get(done.format, "entries")
    what = f"{written.count:,} {noun} ({written.first} to {written.last})" if written.count else f"no {noun}"
    typer.echo(f"{done.path}: {what} as {done.format}, {done.size:,} bytes. Recorded as entry {done.entry}.")
    typer.echo(f"  SHA-256 {done.digest}")
    for why, count in (written.left_out or {}).items():
        typer.echo(f"  left out {count:,}: {why}", err=True)
    if done.format == "bundle":
        typer.echo(f"  Check it: genguard audit verify {done.path}", err=True)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """A bar on a terminal, nothing elsewhere; gives what begins it with a total."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task: Any = bar.add_task("export", total=None)

        def begin(total: int) -> Callable[[int], None]:
            bar.update(task, total=total)
            return lambda done: bar.update(task, completed=done)

        yield begin
