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


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one core, but where it says otherwise."""

    http: float
    """A request: reading it, the keys and limits before it, its answer; all but releasing."""
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

    def shares(self, together: float = 1, group: float = 1) -> dict[str, float]:
        """Seconds of CPU of a request, by stage, the processes of the service alone.

        `together`: contents that share a call of a check; `group`: entries that share a commit.
        """
        asked = {name: len(one.stages) for name, one in self.checks.items()}
        found = {
            "HTTP": self.http,
            "chain and decision": ENTRIES * self.judging + self.asking * sum(asked.values()),
            "generator": self.generating.each(together if self.joins else 1),
            "ledger, in the gateway": ENTRIES * (self.preparing + self.answering + self.commit.cpu(group) / group),
        }
        return found | {f"check {name}": count * self.checks[name].cost.each(together) for name, count in asked.items()}

    def cpu(self, together: float = 1, group: float = 1) -> float:
        """Seconds of CPU of a request."""
        return sum(self.shares(together, group).values())


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
    return Costs(
        http=max(0.0, _us(raw["http"]["service_us"]) - _us(raw["http"]["release_us"])),
        judging=judging,
        asking=asking,
        preparing=_us(ledger["prepare_us"]),
        answering=answering,
        generating=_curve(made["calls"], "cpu_us"),
        joins=made["joins"],
        checks={
            name: Asked(frozenset(one["stages"]), _curve(one["calls"], "cpu_us"), one["most"], one["blocking"])
            for name, one in raw["checks"].items()
        },
        commit=commit,
    )


def _us(runs: Sequence[float]) -> float:
    return median(runs) * US


def _curve(sizes: Mapping[str, Mapping[str, Sequence[float]]], what: str) -> Curve:
    return Curve(tuple(sorted((float(size), _us(runs[what])) for size, runs in sizes.items())))


def _commit(groups: Mapping[str, Mapping[str, Sequence[float]]]) -> Commit:
    total, locked, held = (_curve(groups, what) for what in ("cpu_us", "locked_us", "held_us"))
    waits = tuple((size, max(0.0, seconds - locked(size))) for size, seconds in held.points)
    outside = tuple((size, max(0.0, seconds - locked(size))) for size, seconds in total.points)
    return Commit(Curve(outside), locked, Curve(waits))


def _chain(runs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Two runs, two unknowns: a content, and a content and a check."""
    few, many = sorted(runs, key=lambda run: run["checks"])
    asking = max(0.0, (_us(many["cpu_us"]) - _us(few["cpu_us"])) / (many["checks"] - few["checks"]))
    return max(0.0, _us(few["cpu_us"]) - few["checks"] * asking), asking
