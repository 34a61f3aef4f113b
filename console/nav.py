"""The pages of the console and who sees them: the one list that the menu and the routes stand on."""

from __future__ import annotations

from dataclasses import dataclass

from serving.identity.needs import Need
from serving.identity.principals import Principal
from serving.identity.roles import Permission

HOME = "/console"


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the menu. Its name is that of its words, its template and its script."""

    name: str
    path: str
    need: Need

    def open_to(self, principal: Principal) -> bool:
        """Whether somebody may see it."""
        return not self.need.lack(principal)


def _entry(name: str, *any_of: Permission, whole: bool = False) -> Entry:
    return Entry(name, HOME if name == "overview" else f"{HOME}/{name}", Need(frozenset(any_of), whole=whole))


ENTRIES = (
    _entry("overview", Permission.DECISIONS),
    _entry("decisions", Permission.DECISIONS),
    _entry("reviews", Permission.REVIEW_QUEUE),
    _entry("policies", Permission.POLICIES, whole=True),
    _entry("banks", Permission.BANKS),
    _entry("verify", Permission.VERIFY),
    _entry("compliance", Permission.EXPORT, Permission.FORGET),
    _entry("admin", Permission.KEYS, Permission.SETTINGS, whole=True),
)
"""In the menu's order."""
_BY_NAME = {entry.name: entry for entry in ENTRIES}


def need(name: str) -> Need:
    """What the page of this name, and all below it, asks of whoever opens it."""
    return _BY_NAME[name].need


def menu(principal: Principal) -> tuple[Entry, ...]:
    """The pages that somebody may see."""
    return tuple(entry for entry in ENTRIES if entry.open_to(principal))
