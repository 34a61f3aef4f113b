"""What the commands on rollouts share: reading how a policy stands, making a step, recording and showing it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.ledger import open_ledger
from audit.rollouts import documents, last_revision, rollouts
from guard.errors import InputError, LedgerError, PolicyError
from guard.rules import Policy
from guard.types import Rollout, Step
from policies import from_document
from policies.loaded import LoadedPolicy
from policies.rollout import State, advance, fold
from policies.signing import Trust
from serving.rollout_fields import history_fields, revision_fields
from serving.settings import Settings
from terminal import gates
from terminal.actor import actor
from terminal.printing import printable
from terminal.rollouts import share_words


class Desk:
    """An open ledger and the person at the terminal."""

    def __init__(self, url: str, key_file: Path | None, author: str) -> None:
        """Raises LedgerError for a ledger that cannot be opened."""
        self.url = url
        self.author = actor(author)
        self.ledger = open_ledger(url, key_file=key_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.ledger.close()

    def state(self, policy: str) -> State:
        """How a policy stands; as new when the ledger has no step of it."""
        return states(self.url).get(policy) or State(policy)

    def known(self, policy: str) -> State:
        """How a policy stands. Raises InputError when the ledger has no step of it."""
        state = self.state(policy)
        if not state.steps:
            raise InputError(
                f"the ledger has no rollout of policy {policy!r}", advice="Begin with: genguard policy activate FILE --reason …"
            )
        return state

    def trusted(self, state: State, revision: str) -> str:
        """The signature that a revision came with. Raises SignatureError where services would refuse it."""
        policy, notes = _document(self.url, revision), state.signatures(revision)
        if policy is not None:
            trust().check(policy, notes)
        return notes[-1] if notes else ""

    def step(
        self, state: State, step: Step, revision: str, version: int | None, reason: str, *, author: str = "", **fields: Any
    ) -> Rollout:
        """A step, now, by the person here. `version`: None for that of the recorded document."""
        if version is None:
            version = int(json.loads(documents(self.url, [revision])[revision])["version"])
        previous = _previous(self.url, state, revision)
        known = {"previous": previous, "time": datetime.now(UTC), "reason": reason, "author": author or self.author}
        return Rollout(policy=state.policy, version=version, revision=revision, step=step, **{**known, **fields})

    def take(self, rollout: Rollout) -> tuple[int | None, str, State]:
        """Record a step; return its index, None with the reason when it would change nothing, and how the policy stands."""
        state = self.state(rollout.policy)
        if isinstance(found := advance(state, rollout), str):
            return None, found, state
        index = self.ledger.roll_out_sync(rollout)
        after = self.state(rollout.policy)
        if why := dict(after.void).get(index):
            raise LedgerError(
                f"entry {index} changed nothing: somebody else took a step at the same time, and now {why}",
                advice="Look at genguard policy status, and take the step again if it is still wanted.",
            )
        return index, "", after


def states(url: str) -> dict[str, State]:
    """How every policy stands by the ledger. Raises LedgerError."""
    return fold(rollouts(url))


def judging(url: str, policy: Policy) -> Policy | None:
    """The revision that judges now in place of a policy; None for none, also where there is no ledger yet."""
    with suppress(LedgerError):
        revision = _previous(url, states(url).get(policy.id) or State(policy.id), policy.revision)
        return _document(url, revision)
    return None


def _previous(url: str, state: State, revision: str) -> str:
    """The revision that judges now; where the ledger has none in force, the one that judged last from a file."""
    if state.revision or state.history or state.retired:
        return state.revision
    found = last_revision(url, state.policy)
    return "" if found == revision else found


def _document(url: str, revision: str) -> Policy | None:
    """A revision as a policy; None for none, and for one that this version cannot read."""
    found = documents(url, [revision]).get(revision) if revision else None
    with suppress(PolicyError):
        return from_document(found) if found is not None else None
    return None


def approvals() -> bool:
    """Whether somebody else has to approve."""
    return Settings.read().policy_approvals


def trust() -> Trust:
    """Whose signatures policies need. Raises SettingsError."""
    settings = Settings.read()
    return Trust.read(settings.policy_keys, settings.policy_signatures)


def gate(loaded: LoadedPolicy, before: Policy | None) -> dict[str, list[str]]:
    """What keeps a policy from judging, by what found it; empty when nothing does."""
    found = {"lint errors": gates.lint_errors(loaded, before)}
    if not any(found.values()):
        found["tests that are not green"] = gates.red_tests(loaded)
    return {name: lines for name, lines in found.items() if lines}


def share_of(text: str) -> int:
    """A share in per cent: `10%` or `10`. Raises InputError."""
    digits = text.strip().removesuffix("%").strip()
    if not digits.isdecimal() or not 1 <= int(digits) <= 99:
        raise InputError(f"found the share {text[:20]!r}, expected 1% to 99%")
    return int(digits)


def one_of(revisions: Sequence[str], beginning: str) -> str:
    """The one revision that begins so. Raises InputError for none and for several."""
    found = [one for one in dict.fromkeys(revisions) if one.startswith(beginning.strip().lower())]
    if len(found) != 1:
        listed = ", ".join(one[:16] for one in dict.fromkeys(revisions))
        raise InputError(f"found {len(found)} revisions that begin with {beginning[:64]!r}, expected one of: {listed}")
    return found[0]


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
