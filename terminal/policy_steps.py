"""What the commands on rollouts share: reading how a policy stands, and showing it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.ledger import open_ledger
from guard.errors import InputError
from policies.rollout import State
from serving.rollout_fields import history_fields, revision_fields
from serving.settings import Settings
from serving.stepping import Steps
from terminal.actor import actor
from terminal.printing import printable
from terminal.rollouts import share_words


class Desk:
    """An open ledger and the person at the terminal."""

    def __init__(self, url: str, key_file: Path | None, author: str) -> None:
        """Raises LedgerError for a ledger that cannot be opened."""
        who = actor(author)
        self.ledger = open_ledger(url, key_file=key_file)
        self.steps = Steps(self.ledger, url, who, Settings.read())

    def __enter__(self) -> Steps:
        return self.steps

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ledger.close()


def share_of(text: str) -> int:
    """A share in per cent: `10%` or `10`. Raises InputError."""
    digits = text.strip().removesuffix("%").strip()
    if not digits.isdecimal() or not 1 <= int(digits) <= 99:
        raise InputError(f"found the share {text[:20]!r}, expected 1% to 99%")
    return int(digits)


def print_states(shown: Sequence[State], *, history: bool) -> None:
    """How policies stand, for a person."""
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    if not shown:
        console.print("The ledger has no rollouts: services judge with the policies they were given.")
    for state in shown:
        console.print(f"[bold]{escape(state.policy)}[/]", highlight=False)
        for name, what in _lines(state):
            console.print(f"  {name:<10}{escape(printable(what))}", highlight=False)
        if history:
            console.print(_history(state))


def _lines(state: State) -> list[tuple[str, str]]:
    canary = state.canary
    in_force = _revision(state, state.revision) if state.revision else "retired" if state.retired else "none by the ledger"
    trial = [("canary", f"{_revision(state, canary.revision)}, {share_words(canary.share, canary.by)}")] if canary else []
    waiting = [
        (one.revision, f"proposed by {one.author}" + (f", {share_words(one.share, one.by)}" if one.share else ""))
        for one in state.proposals
    ]
    return [
        ("in force", in_force),
        *trial,
        *(("shadow", _revision(state, one)) for one in state.shadows),
        *(("waiting", f"{_revision(state, revision)}, {told}") for revision, told in waiting),
        *([("before", _revision(state, state.history[-1]))] if state.history else []),
    ]


def _revision(state: State, revision: str) -> str:
    fields = revision_fields(state, revision)
    version = f"version {fields['version']}, " if fields and fields["version"] else ""
    return f"{version}revision {revision[:16]}"


def _history(state: State) -> Table:
    table = Table(pad_edge=False)
    for header in ("entry", "time", "step", "version", "revision", "by", "reason"):
        table.add_column(header, overflow="fold")
    for one in history_fields(state):
        share = share_words(one.get("share", 0), one.get("by", ""))
        by = one["author"] + (f", approved by {one['approver']}" if "approver" in one else "")
        step = " ".join(part for part in (one["step"], share, f"(no effect: {one['void']})" if "void" in one else "") if part)
        cells = (str(one["index"]), one["time"][:19], step, str(one["version"]), one["revision"][:16], by, one["reason"])
        table.add_row(*(escape(printable(cell)) for cell in cells))
    return table
