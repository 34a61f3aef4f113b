"""Measures the contents of tests: each model is loaded once, and no deadline decides how a test ends."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from guard.chain import Chain
from guard.errors import PolicyError
from guard.instrument import Instrument
from guard.protocols import Check
from guard.registry import checks as registry
from guard.rules import CheckSpec, Policy
from guard.sync import run_sync
from guard.types import CheckResult, Content, Examples, Modality, Scan

BATCH = 16
"""Contents measured together."""
DEADLINE_MS = 300_000
"""How long a check may take for one batch of a test, in place of the policy's deadline: a slow machine must not fail a test."""

Progress = Callable[[int, int], None]
"""Told how many contents are measured, of how many."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the checks found in one content, and its share of the time of its batch."""

    results: tuple[CheckResult, ...]
    seconds: float


class Pool:
    """Checks that several policies use, one after the other: those with the same settings are built and loaded once."""

    def __init__(self, shared: Iterable[Instrument] = ()) -> None:
        """`shared`: checks that work for others meanwhile, asked in turn with those where they measure the same."""
        self._shared = tuple(shared)
        self._checks: dict[str, Check] = {}

    def chain(self, policy: Policy) -> Chain:
        """A chain of its checks. Raises GenguardError for one that cannot be built."""
        if any(one.measures(spec) for one in self._shared for spec in policy.checks):
            return Chain(policy, shared=self._shared)
        return Chain(policy, {spec.name: self.get(spec) for spec in policy.checks})

    def get(self, spec: CheckSpec) -> Check:
        """The check of one line of a policy. Raises GenguardError when it cannot be built."""
        key = _key(spec)
        if key not in self._checks:
            self._checks[key] = _LoadedOnce(registry.make(spec.use, spec.parameters))
        return self._checks[key]

    def borrow(self, chain: Chain, policy: Policy) -> None:
        """Take the checks of a chain, loaded as they are, instead of building them; nobody else may call them meanwhile.

        Raises PolicyError unless the chain has every check of the policy, with the same settings.
        """
        there = {spec.name: _key(spec) for spec in chain.policy.checks}
        for spec in policy.checks:
            if there.get(spec.name) != _key(spec):
                raise PolicyError(
                    f"found a chain without check {spec.name!r} as policy {policy.id!r} sets it, expected one of this policy"
                )
        troubles = run_sync(chain.load())
        for spec in policy.checks:
            self._checks[_key(spec)] = _LoadedOnce(chain.checks[spec.name], ready=spec.name not in troubles)


def _key(spec: CheckSpec) -> str:
    return json.dumps([spec.use, spec.parameters], sort_keys=True, default=str)


def patient(policy: Policy, pool: Pool, names: frozenset[str] | None = None) -> Chain:
    """A chain for tests: every check answers, whatever others found and however long it takes.

    Groups are a matter of speed: what a check of a later group finds is true whether or not an earlier one had blocked.
    `names`: only these checks, at least one; None: all of them.
    """
    asked = tuple(
        replace(spec, group=1, deadline_ms=DEADLINE_MS) for spec in policy.checks if names is None or spec.name in names
    )
    return pool.chain(replace(policy, checks=asked))


def measure(chain: Chain, contents: Sequence[Content], progress: Progress | None = None) -> list[Measured]:
    """Measure contents in batches, in order. What goes wrong with a check is in its results."""
    return run_sync(_measure(chain, contents, progress or (lambda _done, _of: None)))


async def _measure(chain: Chain, contents: Sequence[Content], progress: Progress) -> list[Measured]:
    measured: list[Measured] = []
    await chain.load()  # before the clock starts; what cannot be loaded shows in the results
    for start in range(0, len(contents), BATCH):
        batch = contents[start : start + BATCH]
        began = perf_counter()
        found = await chain.run(batch)
        share = (perf_counter() - began) / len(batch)
        measured += [Measured(results, share) for results in found]
        progress(len(measured), len(contents))
    return measured


class _LoadedOnce:
    """A check whose models stay loaded from one chain to the next."""

    def __init__(self, check: Check, *, ready: bool = False) -> None:
        self._check = check
        self._ready = ready

    @property
    def version(self) -> str:
        return self._check.version

    @property
    def digest(self) -> str:
        return self._check.digest

    @property
    def modalities(self) -> frozenset[Modality]:
        return self._check.modalities

    @property
    def labels(self) -> Mapping[str, str]:
        return self._check.labels

    @property
    def blocking(self) -> bool:
        return self._check.blocking

    @property
    def examples(self) -> Examples:
        return self._check.examples

    def load(self) -> None:
        if not self._ready:
            self._check.load()
            self._ready = True

    def __call__(self, batch: Sequence[Content], /) -> Sequence[Scan] | Awaitable[Sequence[Scan]]:
        return self._check(batch)
