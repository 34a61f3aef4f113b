"""What a check may say of itself besides the protocol, for those who write policies with it.

A check that says nothing is taken for the plain case: code that runs here, and gives each thing that it finds a place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class Places(StrEnum):
    """Where a check's findings stand, the best for a redaction first."""

    EACH = "each"
    """Each thing that is found is a finding of its own, at its place."""
    WORST = "worst"
    """One place a label: where it scored highest. Other places that score too are not told."""
    WHOLE = "whole"
    """A finding is about all of the content."""
    NONE = "none"
    """Findings have no place."""

    @property
    def rank(self) -> int:
        """0 for the best; the members of a fusion are as good as the worst of them."""
        return list(Places).index(self)


@dataclass(frozen=True, slots=True)
class Traits:
    """What kind of check it is, with its parameters. Known before `load`."""

    places: Places = Places.EACH
    estimates: bool = False
    """Whether its scores are a model's estimates, which come near 0 and 1000 and do not mean certainty there."""
    reports_from: int = 0
    """The least score, per mille, of what it reports; findings that score 0 are about its own work."""
    hub: tuple[tuple[str, str], ...] = ()
    """Models that a hub has to be asked for, unless a local cache holds them: name, and what pins it (empty: nothing)."""
    endpoints: tuple[str, ...] = ()
    """Addresses that contents are sent to."""
    together: int = 64
    """How many contents, of whoever asks, one call may hold, for a check that blocks; 1: each is measured by itself."""


PLAIN = Traits()
"""Of a check that says nothing."""


@runtime_checkable
class Described(Protocol):
    """A check that says what kind of check it is."""

    @property
    def traits(self) -> Traits:
        """Known before `load`."""


def traits_of(check: Any) -> Traits:
    """A check's traits; the plain ones for a check that says nothing."""
    return check.traits if isinstance(check, Described) else PLAIN


def joined(parts: list[Traits]) -> Traits:
    """The traits of a check that asks others: as bad as the worst of them."""
    return Traits(
        places=max((one.places for one in parts), key=lambda one: one.rank, default=Places.EACH),
        estimates=any(one.estimates for one in parts),
        hub=tuple(dict.fromkeys(name for one in parts for name in one.hub)),
        endpoints=tuple(dict.fromkeys(name for one in parts for name in one.endpoints)),
        together=min((one.together for one in parts), default=PLAIN.together),
    )
