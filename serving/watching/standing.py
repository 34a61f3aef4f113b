"""What is looked up when `/metrics` is asked: queues, the ledger, checkpoints, reviews, models, rollouts.

A figure that cannot be had is left out, and `genguard_up` of its part is 0: an alert sees that, and the rest is there.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from audit.review_queue import MAX_LIMIT, waiting
from generators.batched import Batched
from generators.desk import Figures as Orders
from generators.residency import RESIDENCY
from guard.batching import Figures
from serving.wiring import Wired

REVIEWS_S = 15.0
"""How long a look at the reviews is told again: it reads the ledger."""
Family = GaugeMetricFamily | CounterMetricFamily


class Standing(Collector):
    """How one service stands."""

    def __init__(self, state: Any) -> None:
        """`state`: of the application, which has `wired`, `troubles`, `office` and `settings` once it has started."""
        self._state = state
        self._lock = threading.Lock()
        self._looked = -REVIEWS_S
        self._reviews: list[Family] = []

    def describe(self) -> Iterable[Family]:
        """Nothing: what there is depends on what runs."""
        return ()

    def collect(self) -> Iterator[Family]:
        """All of it."""
        up = _gauge("up", "Whether this part of the service could be looked up.", "part")
        parts: dict[str, Callable[[], list[Family]]] = {
            "checks": self._checks,
            "generators": self._generators,
            "ledger": self._ledger,
            "checkpoints": self._checkpoints,
            "reviews": self._waiting,
            "rollouts": self._rollouts,
        }
        for name, part in parts.items():
            try:
                found = part() if getattr(self._state, "wired", None) is not None else None
            except Exception:  # noqa: BLE001 - the other parts are told all the same
                found = None
            up.add_metric([name], 0.0 if found is None else 1.0)
            yield from found or ()
        yield up

    def _checks(self) -> list[Family]:
        wired: Wired = self._state.wired
        sums: dict[tuple[str, ...], list[Figures]] = defaultdict(list)
        for policy, check, figures in wired.guard.figures():
            sums[policy, check].append(figures)
        return [
            *_summed("check", ("policy", "check"), sums),
            _gauge("checks_not_ready", "Checks and marks that could not be loaded.", value=len(self._state.troubles)),
        ]

    def _generators(self) -> list[Family]:
        wired: Wired = self._state.wired
        offered = {one.name: one for one in wired.generators.values()}
        sums: dict[tuple[str, ...], list[Orders]] = {
            (name,): [one.figures()] for name, one in offered.items() if isinstance(one, Batched)
        }
        resident = _gauge("models_resident", "Models of generators in memory.", value=RESIDENCY.resident)
        return [*_summed("generator", ("generator",), sums), resident]

    def _ledger(self) -> list[Family]:
        wired: Wired = self._state.wired
        health = wired.ledger.health()
        return [
            _gauge("ledger_ready", "1 while the ledger takes decisions.", value=health.ok),
            _gauge("ledger_queue_depth", "Entries that wait for their commit.", value=health.pending),
            _gauge(
                "ledger_stalled_seconds", "How long the oldest entry waits, or a commit runs.", value=wired.ledger.stalled()
            ),
            _gauge("ledger_entries", "Entries of the ledger.", value=wired.ledger.size),
        ]

    def _checkpoints(self) -> list[Family]:
        office = self._state.office
        if not (self._state.settings.anchors and self._state.team.on_duty):
            return []  # signed when somebody asks, and then up to date; or by another worker
        return [
            _gauge("checkpoint_age_seconds", "Since the ledger was last found signed, or signed.", value=office.age()),
            _gauge("checkpoint_troubles", "Anchors, witnesses and keys in trouble.", value=_count(office)),
        ]

    def _waiting(self) -> list[Family]:
        with self._lock:
            if monotonic() >= self._looked + REVIEWS_S:
                self._reviews, self._looked = self._look(), monotonic()
            return self._reviews

    def _look(self) -> list[Family]:
        settings, now = self._state.settings, datetime.now(UTC)
        since = [one.state.since for one in waiting(settings.ledger, limit=MAX_LIMIT).cases]
        sla = timedelta(minutes=settings.review_sla_minutes)
        oldest = max([0.0, *((now - one).total_seconds() for one in since)])
        return [
            _gauge("reviews_waiting", f"Decisions that wait for a person, {MAX_LIMIT} at most.", value=len(since)),
            _gauge(
                "reviews_overdue",
                "Of these, those that waited longer than they should.",
                value=sum(one + sla <= now for one in since),
            ),
            _gauge("review_oldest_seconds", "How long the one that waited longest has.", value=oldest),
        ]

    def _rollouts(self) -> list[Family]:
        wired: Wired = self._state.wired
        return [_gauge("rollout_troubles", "Policies that are not as the ledger says.", value=len(wired.watcher.troubles))]


def _count(office: Any) -> int:
    return len(office.notices()) + bool(office.trouble)


def _summed(part: str, labels: tuple[str, ...], sums: Mapping[tuple[str, ...], Sequence[Figures | Orders]]) -> list[Family]:
    """Figures of queues that make batches. Those of generators count orders, of one prompt or several that a seed ties."""
    families: list[Family] = [
        _gauge(f"{part}_queue_depth", "Contents that wait for a batch.", *labels),
        _gauge(f"{part}_batches_running", "Batches being worked on.", *labels),
        _counter(f"{part}_batches", "Batches begun.", *labels),
        _counter(f"{part}_batched", "Contents in all batches: divided by the batches, how many share one.", *labels),
        _counter(f"{part}_batch_wait_seconds", "Seconds that contents waited for their batches, summed.", *labels),
        _counter(f"{part}_refused", "Contents that found no room.", *labels),
    ]
    for names, found in sums.items():
        contents = [one.contents if isinstance(one, Figures) else one.orders for one in found]
        values = [
            sum(one.waiting for one in found),
            sum(one.running for one in found),
            sum(one.calls for one in found),
            sum(contents),
            sum(one.waited_s for one in found),
            sum(one.refused for one in found),
        ]
        for family, value in zip(families, values, strict=True):
            family.add_metric(list(names), float(value))
    return families


def _gauge(name: str, about: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"genguard_{name}", about, value=None if value is None else float(value), labels=labels or None)


def _counter(name: str, about: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"genguard_{name}", about, labels=labels)
