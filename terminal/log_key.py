"""`genguard audit key | key rotate | key chain`: the key that checkpoints are signed with, and how it is changed."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.settings import DEFAULT_LEDGER
from terminal.actor import Author, KeyFile, LedgerUrl, Reason, actor
from terminal.printing import Json, print_json
from terminal.proofs import Anchors, LogKeyFile, anchor_targets, deliver, log_keys

key_app = typer.Typer(help="The key that checkpoints and proofs are signed with.", invoke_without_command=True)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(key_app, name="key")


@key_app.callback()
def key(context: typer.Context, ledger: LedgerUrl = DEFAULT_LEDGER, log_key_file: LogKeyFile = None) -> None:
    """Print the public key that the ledger's checkpoints and proofs are verified with."""
    if context.invoked_subcommand is None:
        typer.echo(str(log_keys(ledger, log_key_file).key().public))


@key_app.command()
def chain(ledger: LedgerUrl = DEFAULT_LEDGER, log_key_file: LogKeyFile = None) -> None:
    """Print how the key was changed: for each change a proof that both keys signed; nothing when it never was."""
    typer.echo(log_keys(ledger, log_key_file).chain(), nl=False)


@key_app.command()
def rotate(
    reason: Reason = "",
    author: Author = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. The old key is destroyed.")] = False,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    anchor: Anchors = None,
    key_file: KeyFile = None,
    log_key_file: LogKeyFile = None,
    as_json: Json = False,
) -> None:
    """Put a new key in the place of the one that signs, signed for by the old one, which is destroyed."""
    from audit.ledger import open_ledger

    keys = log_keys(ledger, log_key_file, anchor_targets(anchor))
    if not yes:
        typer.confirm(f"The key in {keys.file} is replaced and destroyed. Go on?", abort=True, err=True)
    with open_ledger(ledger, key_file=key_file) as opened:
        change = keys.rotate(opened, actor=actor(author), reason=reason)
    deliver(keys)
    if as_json:
        fields = {"entry": change.index, "before": change.before, "after": change.after, "chain": str(keys.chain_file)}
        print_json({**fields, "key_file": str(keys.file)})
        return
    typer.echo(f"entry {change.index}: checkpoints of more than {change.index + 1} entries are signed by", err=True)
    typer.echo(change.after)
    typer.echo(f"Give it, with {keys.chain_file}, to whoever has the old one. It is in {keys.file}.", err=True)
