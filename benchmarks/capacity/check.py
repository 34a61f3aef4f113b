"""The model beside a real service: one process on one core of this machine, asked from another core."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.model import Cell, Outcome, Shape
from benchmarks.capacity.service import Service, served

CALLERS = 64
SHARES = (0.3, 0.5, 0.8)
"""Of the throughput at saturation, at which times of answers are compared."""
WARM_S = 2.0
LIMIT = 0.2
"""How far the model may be off."""


def asked(costs: Costs, given: argparse.Namespace) -> dict[str, Any]:
    """What a service did. Raises SystemExit where an answer was not 200."""
    more = {"model": given.generator, "tokens": given.tokens if costs.joins else 0, "texts": given.texts}
    with served(given.policy, given.generator) as service:
        _ask(service, WARM_S, callers=CALLERS, **more)
        full = [_ask(service, given.seconds, callers=CALLERS, **more) for _ in range(given.runs)]
        most = median(one["per_s"] for one in full)
        rates: dict[float, list[dict[str, Any]]] = {share: [] for share in SHARES}
        for run in range(given.runs):  # in turns: the pace of a machine changes
            for share, taken in rates.items():
                taken.append(_ask(service, given.seconds, rate=share * most, seed=run + 1, **more))
    return {
        "full": {"callers": CALLERS, "measured": full},
        "rates": [{"share": share, "rate": share * most, "measured": runs} for share, runs in rates.items()],
    }


def beside(costs: Costs, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what the model says of each load."""
    full = {**raw["full"], "model": told(simulated(costs, callers=raw["full"]["callers"]))}
    rates = [{**one, "model": told(simulated(costs, rate=one["rate"]))} for one in raw["rates"]]
    return {**raw, "full": full, "rates": rates}


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
        found += [(f"{where}: {name}", median(run[name] for run in one["measured"]), one["model"][name]) for name in names]
    return found


def off(measured: float, model: float) -> float:
    """How far the model is off, as a part of what was measured."""
    return model / measured - 1
