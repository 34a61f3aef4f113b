"""How many workers, databases and GPUs a rate needs, and what ends first on the way there.

A *cell* is one log, in one database, with the workers that write to it. More than a cell carries takes more of them, each with
tenants of its own (docs/design/scale.md, "Beyond one writer"). Sizes are arithmetic; one cell of each step is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from benchmarks.capacity.costs import ENTRIES, Costs
from benchmarks.capacity.model import Cell, Outcome, Shape

RATES = (100.0, 10_000.0, 1_000_000.0)
TARGET = 0.6
"""How much of a core, or of the lock, may be taken on average: what is left is for bursts, and for a worker that is gone."""
TURN_S = 0.1
"""How long a turn of all writers of one log may take. A request waits for some three: each of its two entries for half of one
until the commit before it is over, and for one until its own has had its turn."""
TOGETHER = 16.0
"""Contents that share a call where workers are full."""
GROUP = 512
"""Entries in the largest commit."""
REQUESTS = 9000
"""Of a simulation, of which the first third is not counted; `LEAST_S` seconds at least."""
LEAST_S = 6.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What there is to carry a load."""

    workers: int
    logs: int


@dataclass(frozen=True, slots=True)
class Limit:
    """Where one of its parts is full."""

    what: str
    per_s: float
    """Requests."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one rate needs."""

    rate: float
    cells: int
    workers: int
    """Of each cell: processes of one core."""
    texts_per_s: Mapping[str, float]
    """Texts that each check gets, of all cells."""
    replicas: Mapping[str, int]
    """Cores' worth of each check, of all cells: as many as the check would need replicas of its own on one core each."""
    gpus: Mapping[str, int]
    """By the checks that are computed there."""
    limits: Sequence[Limit]
    """Of the deployment of the step before, as load rises: what is full first, and so on."""


def cell_rate(costs: Costs, target: float = TARGET, turn_s: float = TURN_S) -> float:
    """The most requests a second that one log carries with the workers that they need.

    The lock may be taken `target` of the time by what entries cost in large groups; and a turn of all its writers, each with
    what a commit costs however small it is, takes `turn_s` at most: N F / (1 - E c) for N writers, F seconds a commit, E
    entries a second and c seconds an entry more.
    """
    each, alone = costs.commit.held(GROUP) / GROUP, costs.commit.held(1)
    by_lock = target / (ENTRIES * each)
    by_turn = turn_s / (alone * costs.cpu() / target + turn_s * ENTRIES * each)
    return min(by_lock, by_turn)


def workers_for(costs: Costs, rate: float, target: float = TARGET) -> int:
    """Processes of one core for so many requests a second, where nothing shares a call or a commit: the dearest case."""
    return max(1, ceil(rate * costs.cpu() / target))


def limits(costs: Costs, deployment: Deployment, target: float = TARGET, turn_s: float = TURN_S) -> list[Limit]:
    """Where its parts are full, the first one first; of workers with the stage that takes most of them.

    Where several workers write to a log, more of them help until their turns at its lock take too long.
    """
    busy = costs.shares(TOGETHER, TOGETHER)
    most = max(busy, key=lambda name: busy[name])
    told = f"cores of workers, of which {most} takes {busy[most] / sum(busy.values()):.0%}"
    found = [
        Limit(told, deployment.workers / sum(busy.values())),
        Limit("the write lock of each log, full", deployment.logs / (ENTRIES * costs.commit.held(GROUP) / GROUP)),
    ]
    if deployment.workers > deployment.logs:
        turns = f"turns at the write lock of each log, over {1e3 * turn_s:.0f} ms as workers are added"
        found.append(Limit(turns, deployment.logs * cell_rate(costs, target, turn_s)))
    return sorted(found, key=lambda one: one.per_s)


def step(costs: Costs, rate: float, before: Sequence[Limit], gpu: Mapping[str, float], target: float, turn_s: float) -> Step:
    """What a rate needs. `gpu`: texts a second of one GPU, by check, which the caller has to know.

    `before`: the limits of the deployment that there was.
    """
    here = costs.without(list(gpu))
    cells = max(1, ceil(rate / cell_rate(here, target, turn_s)))
    asked = {name: rate * len(one.stages) for name, one in costs.checks.items()}
    return Step(
        rate=rate,
        cells=cells,
        workers=workers_for(here, rate / cells, target),
        texts_per_s=asked,
        replicas={name: ceil(texts * costs.checks[name].cost(1) / target) for name, texts in asked.items() if name not in gpu},
        gpus={name: ceil(asked[name] / (target * speed)) for name, speed in gpu.items()},
        limits=before,
    )


def planned(
    costs: Mapping[str, Costs],
    rates: Sequence[float] = RATES,
    *,
    gpu: Mapping[str, float] | None = None,
    target: float = TARGET,
    turn_s: float = TURN_S,
) -> list[Step]:
    """A step a rate, from one process with a file. `costs`: of `sqlite`, and of `postgres` where that is known.

    Raises ValueError for a target or rates that cannot be, and for checks on GPUs that the policy has not.
    """
    if not 0 < target < 1 or turn_s <= 0 or min(rates, default=0) <= 0 or any(speed <= 0 for speed in (gpu or {}).values()):
        raise ValueError("expected a target between 0 and 1, a turn, rates and texts a second above 0")
    many = costs.get("postgres", costs["sqlite"])
    limited, found = limits(costs["sqlite"], Deployment(1, 1)), list[Step]()
    for rate in sorted(rates):
        one = step(many, rate, limited, gpu or {}, target, turn_s)
        found.append(one)
        limited = limits(many.without(list(gpu or {})), Deployment(one.cells * one.workers, one.cells), target, turn_s)
    return found


def simulated(costs: Costs, one: Step, gpu: Mapping[str, float], requests: int = REQUESTS) -> Outcome:
    """One cell of a step, under its share of the load."""
    rate = one.rate / one.cells
    seconds = max(LEAST_S, requests / rate)
    return Cell(costs.without(list(gpu)), Shape(workers=one.workers)).run(rate=rate, seconds=seconds * 2 / 3, warm=seconds / 3)


def as_json(one: Step, outcome: Outcome) -> dict[str, Any]:
    """A step and what came of its simulation."""
    return {
        "rate": one.rate,
        "cells": one.cells,
        "workers": one.workers,
        "texts_per_s": dict(one.texts_per_s),
        "replicas": dict(one.replicas),
        "gpus": dict(one.gpus),
        "limits": [{"what": limit.what, "per_s": limit.per_s} for limit in one.limits],
        "simulated": {
            "rate": one.rate / one.cells,
            "per_s": outcome.per_s,
            "refused_per_s": outcome.refused_per_s,
            "p50_ms": 1e3 * outcome.p50,
            "p99_ms": 1e3 * outcome.p99,
            "cores": outcome.cores,
            "lock": outcome.lock,
            "group": outcome.group,
            "together": outcome.together,
        },
    }
