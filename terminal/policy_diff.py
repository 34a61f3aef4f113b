"""`genguard policy diff`: what changed between two policies, in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from guard.errors import InputError
from guard.rules import Policy
from policies import from_document, load
from policies.diff import Change, Effect, diff, effect
from serving.settings import DEFAULT_LEDGER
from terminal.printing import Json, print_json, printable

DIFFERS = 1
_STYLE = {Effect.STRICTER: "red", Effect.LOOSER: "yellow", Effect.SAME: "dim", Effect.UNKNOWN: "magenta"}
_SAYS = {
    Effect.STRICTER: "No verdict gets weaker by these changes.",
    Effect.LOOSER: "No verdict gets stronger by these changes.",
    Effect.SAME: "No action changes by these changes.",
    Effect.UNKNOWN: "Verdicts may get stronger or weaker: try `genguard policy replay`.",
}


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diff")(policy_diff)


def policy_diff(
    one: Annotated[str, typer.Argument(metavar="A", help="A policy file, a pack, or @REVISION of a ledger.")],
    other: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="Another; left out: A is compared with what the ledger has of its policy."),
    ] = None,
    ledger: Annotated[
        str, typer.Option("--ledger", envvar="GENGUARD_LEDGER", help="Where revisions are looked up: an SQLAlchemy URL.")
    ] = DEFAULT_LEDGER,
    as_json: Json = False,
) -> None:
    """Tell what changed from A to B, and whether verdicts get stricter by it: 0 the same, 1 they differ."""
    if other is None:
        new = read_policy(one, ledger)
        old = recorded(new.id, ledger)
    else:
        old, new = read_policy(one, ledger), read_policy(other, ledger)
    changes = diff(old, new)
    if as_json:
        print_json(_fields(old, new, changes))
    else:
        _print(old, new, changes)
    raise typer.Exit(DIFFERS if changes else 0)


def read_policy(name: str, ledger: str) -> Policy:
    """A policy by its file, its pack, or `@` and the beginning of a revision that the ledger has."""
    if not name.startswith("@"):
        return load(name)
    from audit.history import document

    if not name[1:]:
        raise InputError("found '@' alone, expected the beginning of a revision after it")
    return from_document(document(ledger, name[1:]))


def recorded(policy: str, ledger: str) -> Policy:
    """What the ledger has of a policy: the revision that judged or was activated last."""
    from audit.history import latest_document

    return from_document(latest_document(ledger, policy))


def _fields(old: Policy, new: Policy, changes: tuple[Change, ...]) -> dict[str, Any]:
    return {
        "from": {"policy": old.id, "version": old.version, "revision": old.revision},
        "to": {"policy": new.id, "version": new.version, "revision": new.revision},
        "same": not changes,
        "effect": effect(changes).value,
        "changes": [asdict(change) for change in changes],
    }


def _print(old: Policy, new: Policy, changes: tuple[Change, ...]) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    if not changes:
        console.print(f"The same policy: {old.id} version {old.version}, revision {old.revision[:16]}", highlight=False)
        return
    for policy, sign in ((old, "-"), (new, "+")):
        console.print(f"{sign} {policy.id} version {policy.version}, revision {policy.revision[:16]}", highlight=False)
    width = max(map(len, Effect))
    for change in changes:
        label = f"[{_STYLE[change.effect]}]{change.effect.value:<{width}}[/]"
        console.print(f"{label}  {escape(printable(str(change)))}", highlight=False, soft_wrap=True)
    console.print(_SAYS[effect(changes)], highlight=False)
