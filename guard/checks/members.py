"""Checks that a check asks: what is said of all of them together."""

from __future__ import annotations

from collections.abc import Mapping

from guard.errors import CheckError, GenguardError, RegistryError, describe
from guard.models import files_digest
from guard.protocols import Check
from guard.traits import Traits, joined, traits_of


class Members:
    """A check with members, by names of the policy's own: their versions, digests, traits, and how they are loaded."""

    code = "1"
    """Version of the check's own code."""

    def __init__(self, members: Mapping[str, Check], uses: Mapping[str, str]) -> None:
        """`uses`: the registered name of each member's check."""
        self._members, self._uses = dict(members), dict(uses)

    @property
    def version(self) -> str:
        """Its own, and each member's."""
        told = [f"{name}: {self._uses[name]} {check.version}" for name, check in self._members.items()]
        return "; ".join([f"code {self.code}", *told])

    @property
    def digest(self) -> str:
        """SHA-256 over the members' names and digests; empty when none of them has one."""
        digests = {name: check.digest for name, check in self._members.items()}
        return files_digest(digests) if any(digests.values()) else ""

    @property
    def traits(self) -> Traits:
        """As good as the worst of the members."""
        return joined([traits_of(check) for check in self._members.values()])

    def load(self) -> None:
        """Load all members. Raises CheckError when one cannot be loaded."""
        for name, check in self._members.items():
            try:
                check.load()
            except Exception as error:
                advice = error.advice if isinstance(error, GenguardError) else ""
                raise CheckError(f"member {name!r} could not be loaded: {describe(error)}", advice=advice) from error


def labels_of(members: Mapping[str, Check], advice: str = "") -> dict[str, str]:
    """All their labels with their categories. Raises RegistryError, with this advice, where members disagree on one."""
    labels: dict[str, str] = {}
    for name, check in members.items():
        for label, category in check.labels.items():
            if labels.setdefault(label, category) != category:
                raise RegistryError(
                    f"found label {label!r} with category {labels[label]} and, at member {name!r}, {category}, expected one",
                    advice=advice,
                )
    return labels
