"""All looks, one after another; none keeps the next from being taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from doctor import keys, ledger, machine, models, policies, versions
from doctor.finding import Finding, bad
from guard.errors import GenguardError
from serving.settings import Settings

Look = Callable[[Settings], Iterable[Finding]]

PARTS: dict[str, Look] = {
    "versions": versions.look,
    "machine": machine.look,
    "models": models.look,
    "policy": policies.look,
    "ledger": ledger.look,
    "keys": keys.look,
}
"""What is looked at, by name, in this order."""


def examine(settings: Settings, parts: Iterable[str] = tuple(PARTS)) -> Iterator[Finding]:
    """What is found, as it is found. `parts`: names of PARTS."""
    for part in parts:
        try:
            yield from PARTS[part](settings)
        except GenguardError as error:
            yield bad(part, part, str(error), error.advice)
        except Exception as error:  # noqa: BLE001 - whatever is broken here is what was asked for; its text may hold anything
            yield bad(part, part, f"could not be looked at: {type(error).__name__}", "The other findings may say why.")
