"""What a guard judges with: an immutable set of policies with their chains and markers, built whole and swapped whole.

A request that has begun keeps the bench it began with, so that its prompt and its outputs meet the same revisions. An old bench
goes, with the models that only it used, when its last request is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from guard.canary import Canary, takes
from guard.chain import Chain
from guard.errors import PolicyError
from guard.instrument import Instrument
from guard.marks import order
from guard.marks.order import Planned
from guard.redact import keyed_rules
from guard.rules import CheckSpec, Policy, choose
from guard.types import Context, Operator, Request


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


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Seat:
    """A policy, ready to judge."""

    policy: Policy
    chain: Chain
    marks: tuple[Planned, ...]

    @classmethod
    def build(
        cls,
        policy: Policy,
        operator: Operator,
        others: Iterable[Seat] = (),
        chain: Chain | None = None,
        make: Callable[[CheckSpec], Instrument] = Instrument,
    ) -> Self:
        """Build what is not the same as in `others`. Models are not loaded. `chain`: a built one; `make`: as for `Chain`.

        Raises RegistryError for a check or mark that cannot be built, SettingsError for marks that ask for something that
        `operator` does not have.
        """
        beside = tuple(others)
        shared = [one for seat in beside for one in seat.chain.instruments.values()]
        chain = chain or Chain(policy, shared=shared, make=make)
        return cls(policy, chain, order.plan(policy.marks, operator, [one for seat in beside for one in seat.marks]))


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """All policies of a guard."""

    deployments: tuple[Deployment, ...]
    seats: Mapping[str, Seat]
    """By revision."""

    @classmethod
    def of(cls, deployments: Sequence[Deployment], seats: Iterable[Seat]) -> Self:
        """`seats`: those of all revisions, and maybe more. Raises PolicyError for policies that cannot judge together."""
        require_usable(deployments)
        known = {seat.policy.revision: seat for seat in seats}
        used = [one for deployment in deployments for one in deployment.revisions]
        for policy in used:
            if known[policy.revision].policy != policy:
                raise PolicyError(f"found two policies of revision {policy.revision}, expected one: a revision says all of it")
        return cls(tuple(deployments), {one.revision: known[one.revision] for one in used})

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Those in force."""
        return tuple(one.policy for one in self.deployments if one.policy is not None)

    def instruments(self) -> dict[Instrument, tuple[str, str]]:
        """The built checks, each with the policy and the name that it has there; one that policies share, of the first."""
        told: dict[Instrument, tuple[str, str]] = {}
        for seat in self.seats.values():
            for name, one in seat.chain.instruments.items():
                told.setdefault(one, (seat.policy.id, name))
        return told

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
    return choose(policies, context.generator, context.tenant)


def require_usable(deployments: Sequence[Deployment]) -> None:
    """Raise PolicyError for policies that cannot judge together."""
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
