"""What was measured as what the model needs: seconds of CPU a stage, and of waiting under the ledger's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks.capacity.stations import Commit, Curve

US = 1e-6
STAGES = ("prompt", "output")
"""A request brings a prompt and gets an output; each is judged, and each judgement is an entry."""
ENTRIES = len(STAGES)
ALONE = Curve(((1, 1.0), (2, 1.0)))
"""Stages that take together what they take alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One check of the policy."""

    stages: frozenset[str]
    cost: Curve
    """Of a call, by the contents in it."""
    most: int
    """Contents in one call at most."""
    blocking: bool = True
    """Whether it has a thread of its own; else it computes on the event loop."""
    native: float = 0.0
    """The part of a call that does not need Python's lock."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one core, but where it says otherwise."""

    http: Curve
    """A request, by how many are in work: reading it, keys and limits, its answer; all but releasing."""
    company: Curve
    """What all other stages take together, as a multiple of what they take alone one after the other, by how many requests
    are in work: threads push one another out of caches, and take turns."""
    judging: float
    """A content: its context, the decision, edits, all but its checks and its entry."""
    asking: float
    """A content and a check: to put the question, to wake its thread, to read the answer."""
    preparing: float
    """An entry: its body, its hash, what is sealed."""
    answering: float
    """An entry: the queue, the receipt."""
    generating: Curve
    """Outputs of the generator, by how many are made together."""
    native: float
    """The part of making them that does not need Python's lock."""
    joins: bool
    """Whether the generator has a thread of its own, on which outputs are made together; else each on the event loop."""
    checks: Mapping[str, Asked]
    commit: Commit
    """On the ledger that is planned with."""

    def of(self, stage: str) -> list[str]:
        """The checks of a stage."""
        return [name for name, one in self.checks.items() if stage in one.stages]

    def without(self, names: Sequence[str]) -> Costs:
        """The same with checks that are computed elsewhere, and asked all the same. Raises ValueError for unknown ones."""
        if unknown := sorted(set(names).difference(self.checks)):
            raise ValueError(f"found {', '.join(unknown)}, expected checks of the policy: {', '.join(self.checks)}")
        kept = {name: replace(one, cost=Curve.line(0, 0)) if name in names else one for name, one in self.checks.items()}
        return replace(self, checks=kept)

    def slower(self, times: float) -> Costs:
        """The same on a core that takes so many times as long. What is waited for under the lock stays."""
        return replace(
            self,
            http=self.http.times(times),
            judging=self.judging * times,
            asking=self.asking * times,
            preparing=self.preparing * times,
            answering=self.answering * times,
            generating=self.generating.times(times),
            checks={name: replace(one, cost=one.cost.times(times)) for name, one in self.checks.items()},
            commit=replace(self.commit, outside=self.commit.outside.times(times), locked=self.commit.locked.times(times)),
        )

    def shares(self, together: float = 1, group: float = 1, inside: float = 1) -> dict[str, float]:
        """Seconds of CPU of a request, by stage, the processes of the service alone.

        `together`: contents that share a call of a check; `group`: entries that share a commit; `inside`: requests in work.
        """
        weight = self.company.within(inside)
        alone = {name: weight * seconds for name, seconds in self.alone(together, group).items()}
        return {"HTTP": self.http.within(inside)} | alone

    def alone(self, together: float, group: float) -> dict[str, float]:
        """The same of all stages but HTTP, each measured by itself."""
        asked = {name: len(one.stages) for name, one in self.checks.items()}
        found = {
            "chain and decision": ENTRIES * self.judging + self.asking * sum(asked.values()),
            "generator": self.generating.each(together if self.joins else 1),
            "ledger, in the gateway": ENTRIES * (self.preparing + self.answering + self.commit.cpu(group) / group),
        }
        return found | {f"check {name}": count * self.checks[name].cost.each(together) for name, count in asked.items()}

    def cpu(self, together: float = 1, group: float = 1, inside: float = 1) -> float:
        """Seconds of CPU of a request."""
        return sum(self.shares(together, group, inside).values())


def costs(raw: Mapping[str, Any], store: str, generator: str = "echo") -> Costs:
    """What the model needs of a measurement. `store`: `sqlite` or `postgres`. Raises ValueError where that was not measured."""
    if store not in raw["ledger"]:
        raise ValueError(f"found no ledger in {store!r}, expected one of {', '.join(raw['ledger'])}")
    if generator not in raw["generators"]:
        raise ValueError(f"found no generator {generator!r}, expected one of {', '.join(raw['generators'])}")
    judging, asking = _chain(raw["chain"])
    ledger = raw["ledger"][store]
    commit = _commit(ledger["groups"])
    group = ledger["append"]["group"]
    answering = max(0.0, _us(ledger["append"]["cpu_us"]) - _us(ledger["prepare_us"]) - commit.cpu(group) / group)
    made = raw["generators"][generator]
    found = Costs(
        http=Curve(
            tuple(
                (float(inside), max(0.0, _us(one["service_us"]) - _us(one["release_us"])))
                for inside, one in raw["http"].items()
            )
        ),
        company=ALONE,
        judging=judging,
        asking=asking,
        preparing=_us(ledger["prepare_us"]),
        answering=answering,
        generating=_curve(made["calls"], "cpu_us"),
        native=_native(made),
        joins=made["joins"],
        checks={
            name: Asked(frozenset(one["stages"]), _curve(one["calls"], "cpu_us"), one["most"], one["blocking"], _native(one))
            for name, one in raw["checks"].items()
        },
        commit=commit,
    )
    if (store, generator) != ("sqlite", "echo"):  # as it was measured
        return replace(found, company=costs(raw, "sqlite").company)
    return replace(found, company=_company(found, raw["company"]))


def _us(runs: Sequence[float]) -> float:
    return median(runs) * US


def _native(one: Mapping[str, Any]) -> float:
    return min(1.0, max(0.0, median(one["native"])))


def _curve(sizes: Mapping[str, Mapping[str, Sequence[float]]], what: str) -> Curve:
    return Curve(tuple(sorted((float(size), _us(runs[what])) for size, runs in sizes.items())))


def _commit(groups: Mapping[str, Mapping[str, Sequence[float]]]) -> Commit:
    total, locked, held = (_curve(groups, what) for what in ("cpu_us", "locked_us", "held_us"))
    waits = tuple((size, max(0.0, seconds - locked(size))) for size, seconds in held.points)
    outside = tuple((size, max(0.0, seconds - locked(size))) for size, seconds in total.points)
    return Commit(Curve(outside), locked, Curve(waits))


def _company(alone: Costs, runs: Mapping[str, Mapping[str, Any]]) -> Curve:
    return Curve(
        tuple(
            (float(inside), _us(run["cpu_us"]) / sum(alone.alone(run["together"], run["group"]).values()))
            for inside, run in runs.items()
        )
    )


def _chain(runs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Two runs, two unknowns: a content, and a content and a check."""
    few, many = sorted(runs, key=lambda run: run["checks"])
    asking = max(0.0, (_us(many["cpu_us"]) - _us(few["cpu_us"])) / (many["checks"] - few["checks"]))
    return max(0.0, _us(few["cpu_us"]) - few["checks"] * asking), asking
