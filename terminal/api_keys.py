"""`genguard key create | list | rotate | revoke`: API keys that the service takes. Each step is an entry of the ledger."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from audit.api_keys import NewKey, all_keys, make_key, revoke_key, rotate_key
from audit.ledger import open_ledger
from guard.errors import InputError
from serving.identity.roles import Role
from serving.keys import key_fields
from serving.settings import DEFAULT_LEDGER
from terminal.actor import Author, KeyFile, Reason, actor
from terminal.printing import Json, print_json, printable

key_app = typer.Typer(help="API keys of the service.", no_args_is_help=True)
LedgerUrl = Annotated[str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="The ledger that keeps them.")]
Expires = Annotated[
    str, typer.Option("--expires", help="When it ends: 90d, 12h, or a day such as 2027-06-30 (UTC). Default: never.")
]
_SPAN = re.compile(r"(\d{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_COLUMNS = ("id", "name", "tenant", "roles", "state", "made", "expires", "used")


@key_app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is; recorded with everything that is done with it.")],
    role: Annotated[list[Role], typer.Option("--role", help="What it may do; repeatable. See docs/access.md.")],
    tenant: Annotated[
        str, typer.Option(help="Whose data it sees. Without one: all tenants' (callers: the tenant `default`).")
    ] = "",
    expires: Expires = "",
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: it is shown this once."""
    end = moment(expires) if expires else None
    roles = [one.value for one in dict.fromkeys(role)]
    with open_ledger(ledger, key_file=key_file) as opened:
        made = make_key(opened, name, roles, actor=actor(author), tenant=tenant, expires=end, reason=reason)
    _print_new(made, as_json=as_json)


@key_app.command("list")
def list_keys(ledger: LedgerUrl = DEFAULT_LEDGER, as_json: Json = False) -> None:
    """Print every key there ever was, without secrets; when each was last used, by the hour."""
    rows = [key_fields(one) for one in all_keys(ledger)]
    if as_json:
        print_json({"keys": rows})
        return
    if not rows:
        typer.echo("There are no keys. Make one: genguard key create NAME --role caller", err=True)
        return
    table = [_COLUMNS, *([_cell(row[name]) for name in _COLUMNS] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(_COLUMNS))]
    for line in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@key_app.command()
def rotate(
    key: Annotated[str, typer.Argument(help="Name or id of a live key.")],
    overlap: Annotated[str, typer.Option(help="How long the old one is still good: 24h, 30m, 0m.")] = "24h",
    expires: Expires = "",
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Make a key in the place of another, with its name, tenant and roles, and print it: it is shown this once."""
    end = moment(expires) if expires else None
    with open_ledger(ledger, key_file=key_file) as opened:
        made = rotate_key(opened, key, actor=actor(author), overlap=span(overlap), expires=end, reason=reason)
    _print_new(made, as_json=as_json)


@key_app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Id of a live key, or a name: then all its live keys.")],
    reason: Reason = "",
    author: Author = "",
    ledger: LedgerUrl = DEFAULT_LEDGER,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Withdraw a key: running services refuse it within two seconds."""
    with open_ledger(ledger, key_file=key_file) as opened:
        found = revoke_key(opened, key, actor=actor(author), reason=reason)
    if as_json:
        print_json({"revoked": [one.id for one in found]})
        return
    for one in found:
        typer.echo(f"revoked {one.id} of {one.name}")


def span(text: str) -> timedelta:
    """A length of time such as 90d, 12h, 30m. Raises InputError."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InputError(f"found the time {text[:20]!r}, expected one such as 90d, 12h or 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str) -> datetime:
    """A moment: from now on, or the beginning of a day in UTC. Raises InputError."""
    if _SPAN.fullmatch(text.strip()):
        return datetime.now(UTC) + span(text)
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"found the time {text[:20]!r}, expected one such as 90d, 12h or 2027-06-30") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _print_new(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        print_json({**key_fields(made.key), "entry": made.entry, "key": made.token})
        return
    typer.echo(f"entry {made.entry}: key {made.key.id} of {made.key.name}. It is shown this once:", err=True)
    typer.echo(made.token)


def _cell(value: Any) -> str:
    return printable(",".join(value) if isinstance(value, list) else str(value or "-"))
