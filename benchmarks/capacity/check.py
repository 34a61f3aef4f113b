"""The model beside a real service: one process on one core of this machine, asked from another core."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.model import Cell, Outcome, Shape
from benchmarks.capacity.pace import Pace
from benchmarks.capacity.service import Service, served
from benchmarks.capacity.together import gateway, in_turns, releasing
from benchmarks.capacity.workload import SEED, texts
from policies import load

CALLERS = 64
SHARES = (0.3, 0.5, 0.8)
"""Of the throughput at saturation, at which times of answers are compared."""
WARM_S = 2.0
LIMIT = 0.2
"""How far the model may be off."""


def asked(costs: Costs, given: argparse.Namespace, pace: Pace) -> dict[str, Any]:
    """What a service did, and, in turns with it, what stages took together. Raises SystemExit where an answer was not 200."""
    more = {"model": given.generator, "tokens": given.tokens if costs.joins else 0, "texts": given.texts}
    messages, policy = texts(SEED + 1, given.texts), load(given.policy)
    with ExitStack() as stack:
        releases = stack.enter_context(releasing(policy, messages, pace))
        nothing = stack.enter_context(gateway(messages, pace))
        service = stack.enter_context(served(given.policy, given.generator))
        _ask(service, WARM_S, callers=CALLERS, **more)
        full: list[dict[str, Any]] = []
        rates: dict[float, list[dict[str, Any]]] = {share: [] for share in SHARES}
        for run in range(given.runs):
            in_turns(1, releases.run, nothing.run)
            full.append(_paced(pace, partial(_ask, service, given.seconds, callers=CALLERS, **more)))
            most = median(one["per_s"] for one in full)
            for share, taken in rates.items():
                ask = partial(_ask, service, given.seconds, rate=share * most, seed=run + 1, **more)
                taken.append({"rate": share * most, **_paced(pace, ask)})
        return {
            "company": releases.told(),
            "http": nothing.told(),
            "full": {"callers": CALLERS, "measured": full},
            "rates": [{"share": share, "measured": runs} for share, runs in rates.items()],
        }


def beside(costs: Costs, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what the model says of each run, at the pace that the core had."""

    def model(run: Mapping[str, Any], **load: Any) -> dict[str, float]:
        return told(simulated(costs.slower(run["slow"]), **load))

    full = {**raw["full"], "model": [model(run, callers=raw["full"]["callers"]) for run in raw["full"]["measured"]]}
    rates = [{**one, "model": [model(run, rate=run["rate"]) for run in one["measured"]]} for one in raw["rates"]]
    return {**raw, "full": full, "rates": rates}


def _paced(pace: Pace, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    one = pace.one(ask)
    return {**one.value, "slow": one.slow}


def _ask(service: Service, seconds: float, **given: Any) -> dict[str, Any]:
    found = service.asked(seconds, **given)
    if set(found["statuses"]) != {"200"}:
        raise SystemExit(f"found answers {found['statuses']}, expected 200 alone")
    return found


def simulated(costs: Costs, **load: Any) -> Outcome:
    """One worker on one core."""
    return Cell(costs, Shape()).run(seconds=60, warm=5, **load)


def told(outcome: Outcome) -> dict[str, float]:
    """What is compared, and what explains it."""
    return {
        "per_s": outcome.per_s,
        "p50_ms": 1e3 * outcome.p50,
        "p99_ms": 1e3 * outcome.p99,
        "mean_ms": 1e3 * outcome.mean,
        "cpu_us": 1e6 * outcome.cores / outcome.per_s if outcome.per_s else 0.0,
        "together": outcome.together,
        "group": outcome.group,
    }


def lines(raw: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """What is compared: its name, measured, and by the model."""
    found = []
    for one, names in [(raw["full"], ("per_s", "cpu_us")), *((one, ("p50_ms", "cpu_us")) for one in raw["rates"])]:
        where = f"{one['callers']} callers" if "callers" in one else f"{one['share']:.0%} of that"
        found += [
            (f"{where}: {name}", *(median(run[name] for run in one[by]) for by in ("measured", "model"))) for name in names
        ]
    return found


def off(measured: float, model: float) -> float:
    """How far the model is off, as a part of what was measured."""
    return model / measured - 1
