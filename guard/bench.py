"""What a guard judges with: an immutable set of policies with their chains and markers, built whole and swapped whole.

A request that has begun keeps the bench it began with, so that its prompt and its outputs meet the same revisions. An old bench
goes, with the models that only it used, when its last request is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from guard.canary import Canary, takes
from guard.chain import Chain
from guard.errors import PolicyError
from guard.instrument import Instrument
from guard.marks import order
from guard.marks.order import Planned
from guard.redact import keyed_rules
from guard.rules import Policy
from guard.types import Context, Marker, Operator, Request


@dataclass(frozen=True, slots=True)
class Deployment:
    """The revisions of one policy that are in use at the same time."""

    policy: Policy | None
    """In force; None while only a canary or shadows are."""
    canary: Policy | None = None
    """Judges `share` per cent `by` `requests` or `tenants` in place of the one in force."""
    share: int = 0
    by: str = "requests"
    shadows: tuple[Policy, ...] = ()
    """Decide beside the one in force."""

    @property
    def revisions(self) -> tuple[Policy, ...]:
        """All of them."""
        return tuple(one for one in (self.policy, self.canary, *self.shadows) if one is not None)

    @property
    def judging(self) -> tuple[Policy, ...]:
        """Those whose verdicts count."""
        return tuple(one for one in (self.policy, self.canary) if one is not None)

    def chosen(self, request: Request) -> Policy | None:
        """The revision that judges a request."""
        trial = self.canary
        if trial is not None and takes(trial.id, Canary(trial.revision, self.share, self.by), request.id, request.tenant):
            return trial
        return self.policy


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """A policy, ready to judge."""

    policy: Policy
    chain: Chain
    marks: tuple[Planned, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """All policies of a guard."""

    deployments: tuple[Deployment, ...]
    seats: Mapping[str, Seat]
    """By revision."""

    @classmethod
    def build(
        cls,
        deployments: Sequence[Deployment],
        operator: Operator,
        *,
        chains: Iterable[Chain] = (),
        before: Bench | None = None,
    ) -> Self:
        """Build what `before` does not have; `chains`: built ones. Models are not loaded.

        Raises PolicyError for policies that cannot judge together, RegistryError for a check or mark that cannot be built,
        SettingsError for marks that ask for something that `operator` does not have.
        """
        _require_usable(deployments)
        known = {chain.policy.revision: chain for chain in chains}
        seats = dict(before.seats) if before is not None else {}
        for policy in (one for deployment in deployments for one in deployment.revisions):
            if policy.revision in seats and seats[policy.revision].policy != policy:
                raise PolicyError(f"found two policies of revision {policy.revision}, expected one: a revision says all of it")
            if policy.revision not in seats:
                instruments = [one for seat in seats.values() for one in seat.chain.instruments.values()]
                chain = known.get(policy.revision) or Chain(policy, shared=instruments)
                marks = order.plan(policy.marks, operator, [one for seat in seats.values() for one in seat.marks])
                seats[policy.revision] = Seat(policy, chain, marks)
        used = {one.revision for deployment in deployments for one in deployment.revisions}
        return cls(tuple(deployments), {revision: seat for revision, seat in seats.items() if revision in used})

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Those in force."""
        return tuple(one.policy for one in self.deployments if one.policy is not None)

    def seat(self, context: Context, request: Request) -> Seat | None:
        """Who judges; None when no policy covers it."""
        judge = _covering([policy for one in self.deployments if (policy := one.chosen(request))], context)
        return self.seats[judge.revision] if judge is not None else None

    def shadows(self, context: Context, request: Request) -> tuple[Seat, ...]:
        """Those in shadow that would judge, were they in force."""
        return tuple(self.seats[one.revision] for one in self._shadows(context, request))

    def _shadows(self, context: Context, request: Request) -> Iterator[Policy]:
        for at, deployment in enumerate(self.deployments):
            for shadow in deployment.shadows:
                before = [policy for one in self.deployments[:at] if (policy := one.chosen(request))]
                after = [policy for one in self.deployments[at + 1 :] if (policy := one.chosen(request))]
                if _covering([*before, shadow, *after], context) is shadow:
                    yield shadow

    def instruments(self) -> set[Instrument]:
        """All that measures here."""
        return {one for seat in self.seats.values() for one in seat.chain.instruments.values()}

    def markers(self) -> list[Marker]:
        """All that marks here."""
        return [one.marker for seat in self.seats.values() for one in seat.marks]


def require_no_key(policies: Iterable[Policy]) -> None:
    """Raise PolicyError for a policy that cannot be applied without a redaction key."""
    for policy in policies:
        rules = keyed_rules(policy)
        if rules:
            raise PolicyError(
                f"policy {policy.id!r}: found no redaction key, expected one for {', '.join(map(repr, rules))}, "
                "which hashes, pseudonymises or encrypts",
                advice="Give one: Guard(…, redaction_key=RedactionKey.read(path)), or GENGUARD_REDACTION_KEY for the service.",
            )


def _covering(policies: Sequence[Policy], context: Context) -> Policy | None:
    return next((policy for policy in policies if policy.covers(context.generator, context.tenant)), None)


def _require_usable(deployments: Sequence[Deployment]) -> None:
    if not any(deployment.judging for deployment in deployments):
        raise PolicyError("found no policy, expected at least one", advice="Without a policy nothing may be released.")
    ids = [{policy.id for policy in deployment.revisions} for deployment in deployments]
    for policy in (one for deployment in deployments for one in deployment.judging):
        if policy.status != "live":
            raise PolicyError(
                f"policy {policy.id!r} has status {policy.status!r}, expected 'live'",
                advice="Only a live policy judges. Set `status: live` when it is ready.",
            )
    for names in ids:
        if len(names) != 1:
            raise PolicyError(f"found revisions of {len(names)} policies in one deployment, expected those of one")
        if (count := ids.count(names)) > 1:
            raise PolicyError(f"found {count} policies with the id {min(names)!r}, expected one")
