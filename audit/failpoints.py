"""Places at which a test may stop the ledger dead, to see what a crash there leaves behind.

`failpoint(NAME)` does nothing: it looks whether `hook` is set, and nothing of the program sets it. No setting, no variable of
the environment, no request and no row of the database leads to it; a test sets it, in its own process, and a test holds that
no module does. Whoever could set it runs code in the service already, and needs no hook. There is one place a step of a
transaction, never one an entry, so that they cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable

POINTS = (
    "begin: key made",
    "begin: tables made",
    "append: before the lock",
    "append: locked",
    "append: head read",
    "append: entries in",
    "append: terms in",
    "append: keys in",
    "append: payloads in",
    "append: before the head",
    "append: head swapped",
    "append: before the commit",
    "append: committed",
    "sign: before the anchor",
    "sign: anchor written",
    "sign: anchored",
    "erase: content deleted",
    "erase: recorded",
    "prune: unlocked",
    "prune: content dropped",
    "prune: recorded",
    "scrub: keys deleted",
    "scrub: log cut",
    "rotate: key file written",
    "rotate: keys wrapped",
    "rotate: recorded",
    "rotate: settled",
    "export: written",
    "export: recorded",
    "export: named",
)
"""Every place there is, by what has just been done."""

hook: Callable[[str], None] | None = None
"""Told the name of each place that is passed; None but in tests."""


def failpoint(name: str) -> None:
    """Pass one of `POINTS`."""
    if hook is not None:
        hook(name)
