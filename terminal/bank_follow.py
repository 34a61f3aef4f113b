"""`genguard bank follow`: the banks of a machine without a gateway, such as a node of a cluster, as the ledger has them."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from guard.errors import GenguardError
from guard.matching import bank as banks
from serving.settings import DEFAULT_LEDGER
from terminal.actor import LedgerUrl
from terminal.printing import Json, printable

if TYPE_CHECKING:
    from serving.followed_banks import FollowedBanks

FOLLOWED, NOT_FOLLOWED = 0, 2
"""What `--once` ends with: whether every bank is as the ledger has it."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("follow")(follow)


def follow(
    once: Annotated[bool, typer.Option("--once", help="End when all is there that the ledger had; 2: some cannot.")] = False,
    ledger: LedgerUrl = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Keep this machine's banks as a ledger in PostgreSQL has them, until interrupted. Reads the ledger, and needs no key.

    Each bank is told with its digest when it has changed. A gateway does this by itself: it is for machines without one.
    """
    from serving.followed_banks import followed_banks

    followed = followed_banks(ledger)
    tell = _Telling(followed, as_json=as_json)
    if not once:
        asyncio.run(_keep(followed, ledger, tell))
        return
    failed = [name for name in sorted(followed.names()) if not _follows(followed, name)]
    tell()
    if not as_json:
        count = len(followed.here().keys() - set(failed))
        typer.echo(f"banks in {banks.banks_folder()} that are as the ledger has them: {count}")
    raise typer.Exit(NOT_FOLLOWED if failed else FOLLOWED)


def _follows(followed: FollowedBanks, name: str) -> bool:
    """Whether a bank is as the ledger has it now. Tells why it is not."""
    try:
        followed.follow(name)
        followed.take_in(name)
    except GenguardError as error:
        typer.echo(printable(f"bank {name}: {error}"), err=True)
        if error.advice:
            typer.echo(f"  {error.advice}", err=True)
        return False
    return True


class _Telling:
    """Prints each bank that is another than it was."""

    def __init__(self, followed: FollowedBanks, *, as_json: bool) -> None:
        self._followed, self._as_json = followed, as_json
        self._told: dict[str, str] = {}

    def __call__(self) -> None:
        for name, bank in self._followed.here().items():
            state = bank.state()
            if self._told.get(name) == state.head.hex():
                continue
            self._told[name] = state.head.hex()
            if self._as_json:
                fields = {"bank": name, "kind": bank.kind, "works": state.size, "digest": state.head.hex()}
                typer.echo(json.dumps(fields, ensure_ascii=False))
            else:
                typer.echo(f"{name:<16}{state.size:>10} works  {state.head.hex()}")


async def _keep(followed: FollowedBanks, ledger: str, tell: Callable[[], None]) -> None:
    """Follow until SIGTERM or SIGINT."""
    from audit.listening import Listener
    from serving.bank_watch import BankWatcher

    loop = asyncio.get_running_loop()
    watcher = BankWatcher(followed, looked=tell)

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(watcher.wake)

    await watcher.start()
    listener = Listener(ledger, wake)
    following = loop.create_task(watcher.run())
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, following.cancel)
    try:
        with suppress(asyncio.CancelledError):  # by the signal
            await following
    finally:
        await asyncio.to_thread(listener.close)
        tell()  # what came in the look that was left
