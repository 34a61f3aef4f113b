"""`genguard audit prune`, and `genguard audit hold set | lift | list`: what goes at its age, and what has to stay."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from guard.errors import InputError
from serving.settings import DEFAULT_LEDGER, Settings
from terminal.actor import Author, KeyFile, LedgerUrl, Reason, actor
from terminal.audit_forget import end, tell
from terminal.printing import Json, print_json, printable

hold_app = typer.Typer(help="Keep decisions from being erased and dropped.", no_args_is_help=True)


def add(app: typer.Typer) -> None:
    """Add the commands to those on the ledger."""
    app.command("prune")(prune)
    app.add_typer(hold_app, name="hold")


def prune(
    older_than: Annotated[
        int | None, typer.Option("--older-than", help="Age in days, 183 or more. Default: GENGUARD_RETENTION_DAYS.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be dropped.")] = False,
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Drop decisions with their content at their age, but for what a hold covers. Hashes stay, so proofs stay valid."""
    from audit import retention
    from audit.ledger import open_ledger

    days = Settings.read().retention_days if older_than is None else older_than
    if days is None:
        raise InputError("found no retention, expected an age", advice="Give --older-than DAYS or GENGUARD_RETENTION_DAYS.")
    retention.check_days(days)
    who = actor(author)
    with open_ledger(ledger, key_file=key_file) as opened:
        found = retention.plan(opened, days) if dry_run else retention.prune(opened, days, actor=who, reason=reason)
    if as_json:
        print_json({**asdict(found), "days": days, "dry_run": dry_run})
    else:
        _tell(found, dry_run=dry_run)
        tell(opened, found.trouble)
    raise typer.Exit(end(opened, found.trouble))


def _tell(found: Any, *, dry_run: bool) -> None:
    counts = f"{found.bodies} decisions, {found.payloads} payloads, {found.keys} keys, {found.fingerprints} fingerprints"
    entries = f" ({', '.join(f'entry {idx}' for idx in found.entries)})" if found.entries else ""
    typer.echo(f"{'would drop' if dry_run else 'dropped'} below entry {found.below}: {counts}{entries}")
    for hold, count in found.held.items():
        typer.echo(f"kept by hold {hold}: {count}")


@hold_app.command("set")
def set_(
    query: Annotated[str, typer.Option("--query", help="Filters as of `audit query`: subject:person-7 tenant:acme. '': all.")],
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Set a legal hold: neither an erasure nor retention touches what matches, until it is lifted."""
    from audit.holds import need_reason, set_hold
    from audit.ledger import open_ledger

    reason = need_reason(reason, "set a hold")
    with open_ledger(ledger, key_file=key_file) as opened:
        hold = set_hold(opened, query, actor=actor(author), reason=reason)
    if as_json:
        print_json({"hold": hold.id, "entry": hold.index, "query": query})
    else:
        typer.echo(f"hold {hold.id} is set, entry {hold.index}")


@hold_app.command("lift")
def lift(
    hold: Annotated[str, typer.Argument(help="The hold's id, as `audit hold list` shows it.")],
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Lift a legal hold."""
    from audit.holds import lift_hold, need_reason
    from audit.ledger import open_ledger
    from guard.errors import RefusedError

    reason = need_reason(reason, "lift a hold")
    with open_ledger(ledger, key_file=key_file) as opened:
        try:
            index = lift_hold(opened, hold, actor=actor(author), reason=reason)
        except RefusedError as error:
            raise InputError(str(error)) from None
    if as_json:
        print_json({"hold": hold, "entry": index})
    else:
        typer.echo(f"hold {hold} is lifted, entry {index}")


@hold_app.command("list")
def list_(ledger: LedgerUrl = DEFAULT_LEDGER, as_json: Json = False) -> None:
    """Tell which legal holds are in force."""
    from audit.holds import active_holds
    from audit.query import reading

    with reading(ledger) as connection:
        holds = active_holds(connection)
    if as_json:
        print_json({"holds": [asdict(one) for one in holds]})
    for one in () if as_json else holds:
        line = f"{one.id}  {one.time[:10]}  {one.actor}  {one.query or '(everything)'}  {one.reason}"
        typer.echo(printable(line))
