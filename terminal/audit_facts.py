"""What `genguard audit show` adds to an entry: the rules with their conditions, who saw it, and what followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.events import ACCESS, KINDS
from audit.follow import Followed
from audit.query import Shown
from guard.canary import Canary
from policies.explain import fields
from serving.derived import canary as canary  # noqa: PLC0414 - who prints an entry imports it from here
from serving.derived import explanation
from terminal.events import event_facts
from terminal.policy_explain import print_rules
from terminal.printing import printable

_TOLD = {"what", "by", "about"}


def more_fields(shown: Shown, after: Sequence[Followed], canary: Canary | None = None) -> dict[str, Any]:
    """The same as plain fields: `canary` (share and of what, or null), `rules`, `seen` and `followed`."""
    found = explanation(shown)
    return {
        "canary": {"share": canary.share, "by": canary.by} if canary else None,
        "rules": fields(found)["rules"] if found else [],
        "seen": [_fields(one) for one in after if one.kind == ACCESS],
        "followed": [_fields(one) for one in after if one.kind != ACCESS],
    }


def print_more(console: Console, shown: Shown, after: Sequence[Followed]) -> None:
    """Rules that spoke as trees, then who saw the decision's content and what else followed, the oldest first."""
    found = explanation(shown)
    if found is not None and print_rules(console, found):
        console.print("[dim]the other rules found nothing; `genguard policy explain --decision` shows them[/]", highlight=False)
    for title, some in (
        ("Who saw it", [one for one in after if one.kind == ACCESS]),
        ("What followed", [one for one in after if one.kind != ACCESS]),
    ):
        if some:
            console.print(_table(title, some))


def _table(title: str, some: Sequence[Followed]) -> Table:
    table = Table("entry", "time", "what", "by", "details", title=title, title_justify="left", pad_edge=False)
    for one in some:
        what = KINDS[one.kind].title if one.kind in KINDS else one.kind.replace("_", " ")
        table.add_row(str(one.idx), one.time[:19], what, escape(printable(one.actor)), escape(printable(_details(one))))
    return table


def _details(one: Followed) -> str:
    if one.event is None:
        return " ".join(part for part in (one.action, one.decision) if part)
    return ", ".join(f"{name} {value}" for name, value in event_facts(one.event) if name not in _TOLD)


def _fields(one: Followed) -> dict[str, Any]:
    told: dict[str, Any] = {"index": one.idx, "kind": one.kind, "time": one.time, "actor": one.actor}
    if one.event is not None:
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in one.event.fields.items()}
        return told | {"reason": one.event.reason, "fields": plain}
    return told | {"decision": one.decision, "action": one.action}
