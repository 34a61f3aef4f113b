"""How all workers of a service stand, as one answer: readiness, and metrics with a label that says whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from serving.workers.team import Team

LABEL = "worker"
BEGINS, AGAIN = "is being started", "is being started again"


def together(team: Team, own: Mapping[str, Any], others: Mapping[int, Any]) -> dict[str, Any]:
    """The standing of all as that of one. What all say alike is said once; what one says alone names it.

    A worker that does not answer keeps the service from being ready until all were there once; later it is a notice: the
    others go on, and a new one is on its way.
    """
    stands = {team.index: own, **{index: found for index, found in others.items() if found is not None}}
    away = [index for index, found in others.items() if found is None]
    merged: dict[str, Any] = {part: _merged(part, stands) for part in {name: None for one in stands.values() for name in one}}
    if away and not team.started:
        merged["troubles"] = {**merged["troubles"], "workers": ", ".join(f"worker {one} {BEGINS}" for one in away)}
    elif away:
        merged["workers"] = [f"worker {one} {AGAIN}" for one in away]
    return merged


def _merged(part: str, stands: Mapping[int, Mapping[str, Any]]) -> Any:
    found = {index: one[part] for index, one in stands.items() if part in one}
    if all(isinstance(one, list) for one in found.values()):
        return list(dict.fromkeys(line for one in found.values() for line in one))
    told: dict[str, str] = {}
    for index, one in found.items():
        for name, why in one.items():
            told[name if told.get(name, why) == why else f"{name} (worker {index})"] = why
    return told


def families(collected: Iterable[Metric]) -> list[Any]:
    """Metrics as they go to another worker."""
    return [
        (one.name, one.documentation, one.type, [(sample.name, sample.labels, sample.value) for sample in one.samples])
        for one in collected
    ]


class _Collected:
    """Metrics of all workers, as a registry holds them."""

    def __init__(self, found: Mapping[int, Any], restarts: Mapping[str, int]) -> None:
        self._found, self._restarts = found, restarts

    def collect(self) -> Iterator[Metric]:
        """One family a name, with the samples of all workers."""
        made: dict[str, Metric] = {}
        up = GaugeMetricFamily("genguard_worker_up", "Whether a worker answers.", labels=[LABEL])
        for index, parts in sorted(self._found.items()):
            up.add_metric([str(index)], 0.0 if parts is None else 1.0)
            for name, about, kind, samples in parts or ():
                one = made.setdefault(name, Metric(name, about, kind))
                for sample, labels, value in samples:
                    one.add_sample(sample, {**labels, LABEL: str(index)}, value)
        yield from made.values()
        yield up
        again = CounterMetricFamily("genguard_processes_restarted", "Processes that had to be started again.", labels=["part"])
        for part, count in self._restarts.items():
            again.add_metric([part], float(count))
        yield again


def as_text(team: Team, own: list[Any], others: Mapping[int, Any]) -> bytes:
    """All metrics as Prometheus reads them."""
    registry: Any = _Collected({team.index: own, **others}, team.restarts())
    return generate_latest(registry)
