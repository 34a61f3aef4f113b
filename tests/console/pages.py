"""Every page of the console, by name: what is looked at in both languages and both themes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.console.desk import Desk


@dataclass(frozen=True)
class Shown:
    """A page, and who looks at it."""

    who: str
    path: Callable[[Desk], str]


def at(path: str) -> Callable[[Desk], str]:
    """A page whose address is the same for every ledger."""
    return lambda _: path


def in_force(desk: Desk) -> str:
    """The revision that judges."""
    found: str = desk.ask("auditor", "GET", "/v1/policies/enterprise")["in_force"]["revision"]
    return found


PAGES: dict[str, Shown] = {
    "overview": Shown("officer", at("/console")),
    "decisions": Shown("officer", at("/console/decisions")),
    "decisions of a search": Shown("officer", at("/console/decisions?q=action:block,redact%20-rule:insult&counts=1")),
    "decision blocked": Shown("officer", lambda desk: f"/console/decisions/{desk.decision('rule:insult stage:output')}"),
    "decision of a work": Shown("officer", lambda desk: f"/console/decisions/{desk.decision('rule:protected-work')}"),
    "entry": Shown("officer", at("/console/decisions/1")),
    "reviews": Shown("reviewer", at("/console/reviews")),
    "review": Shown("reviewer", lambda desk: f"/console/reviews/{desk.held}"),
    "policies": Shown("author", at("/console/policies")),
    "policy": Shown("approver", at("/console/policies/enterprise")),
    "policy-revision": Shown("author", lambda desk: f"/console/policies/enterprise/revisions/{in_force(desk)}"),
    "policy-diff": Shown("author", lambda desk: f"/console/policies/enterprise/diff?to={in_force(desk)}"),
    "policy-edit": Shown("author", at("/console/policies/enterprise/edit")),
    "policy-new": Shown("author", at("/console/policies/_/edit")),
    "banks": Shown("officer", at("/console/banks")),
    "bank": Shown("officer", at("/console/banks/protected-works")),
    "verify": Shown("officer", at("/console/verify")),
    "public verify": Shown("officer", at("/verify")),
    "compliance": Shown("officer", at("/console/compliance")),
    "admin": Shown("admin", at("/console/admin")),
    "refusal": Shown("caller", at("/console/admin")),
    "missing": Shown("officer", at("/console/nowhere")),
}
