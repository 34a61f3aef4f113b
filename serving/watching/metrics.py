"""Counters and durations for Prometheus, in a registry of their own: several services in one process do not mix.

Labels are names from policies, the registry and the routes; of what callers write, nothing is one. `/metrics` tells them, with
what `serving.watching.standing` looks up when it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from guard.types import Decision, Status
from guard.watching import APPEND, CHECKS, GENERATE, MARKS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other is counted as `other`: a caller may send whatever."""
OTHER = "other"
MOST_TENANTS = 200
"""Tenants that are told apart where that is asked for; further ones are counted together."""
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_CREATED = re.compile(rb"^(?:# (?:HELP|TYPE) )?genguard_[a-z_]+_created[ {].*\n", re.MULTILINE)
"""When each series began: as many lines again, of which no dashboard asks."""
_GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def bare(text: bytes) -> bytes:
    """Metrics without the times at which series began."""
    return _CREATED.sub(b"", text)


class Metrics:
    """All that is counted of one service. Safe to use from several threads."""

    def __init__(self, *, tenants: bool = False) -> None:
        """`tenants`: whether verdicts are counted by tenant, too: their names are then in the metrics."""
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        more: dict[str, Any] = {"namespace": "genguard", "registry": self.registry}
        self._requests = Counter("requests", "HTTP requests answered.", ("method", "route", "status"), **more)
        self._took = Histogram(
            "request_seconds", "From a request to the end of its answer.", ("method", "route"), buckets=_SLOW, **more
        )
        self.in_progress = Gauge("requests_in_progress", "HTTP requests being answered.", **more)
        self._verdicts = Counter("verdicts", "Decisions committed.", ("policy", "stage", "modality", "action"), **more)
        self._rules = Counter("rules_fired", "Rules that fired in committed decisions.", ("policy", "rule", "action"), **more)
        self._checks = Counter(
            "check_results", "Answers of checks in committed decisions.", ("policy", "check", "status"), **more
        )
        self._check_took = Histogram(
            "check_seconds", "From asking a check to its answer, the wait included.", ("policy", "check"), buckets=_FAST, **more
        )
        self._marks = Counter("marks", "Marks on outputs, verified or failed.", ("mark", "outcome"), **more)
        self._steps = Histogram("step_seconds", "Measuring, marking, committing.", ("step", "outcome"), buckets=_SLOW, **more)
        self._generators = Histogram(
            "generator_seconds", "A generator's call to its last output.", ("generator", "outcome"), buckets=_SLOW, **more
        )
        self._streams = Counter("streams", "Outputs that left while they were made.", ("ending",), **more)
        self._left = Histogram("stream_delay_seconds", "From a piece of text to its leaving.", buckets=_FAST, **more)
        self._commits = Histogram(
            "ledger_commit_seconds", "One transaction of the ledger.", ("outcome",), buckets=_FAST, **more
        )
        self._entries = Counter("ledger_appends", "Entries handed to a transaction.", ("outcome",), **more)
        self._group = Histogram("ledger_group_entries", "Entries of one transaction.", buckets=_GROUPS, **more)
        self._tenants = (
            Counter("tenant_verdicts", "Decisions committed, by tenant.", ("tenant", "action"), **more) if tenants else None
        )
        self._known_tenants: set[str] = set()
        self._counters: dict[tuple[Counter, tuple[str, ...]], Counter] = {}
        self._histograms: dict[tuple[Histogram, tuple[str, ...]], Histogram] = {}

    def text(self) -> bytes:
        """What `/metrics` answers."""
        return bare(generate_latest(self.registry))

    def look_up(self, collector: Collector) -> None:
        """Have something told that is looked up whenever it is asked for."""
        self.registry.register(collector)

    def requested(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        method = method if method in METHODS else OTHER
        self._count(self._requests, method, route, str(status))
        self._observe(self._took, seconds, method, route)

    def decided(self, decision: Decision) -> None:
        """A decision was committed."""
        verdict, context = decision.verdict, decision.context
        self._count(self._verdicts, verdict.policy, context.stage.value, context.modality.value, verdict.action.value)
        for rule in verdict.fired:
            self._count(self._rules, verdict.policy, rule.rule, rule.action.value)
        for result in decision.results:
            self._count(self._checks, verdict.policy, result.check, result.status.value)
            if result.status is not Status.SKIPPED:
                self._observe(self._check_took, result.latency_us / 1e6, verdict.policy, result.check)
        for mark in decision.marks:
            self._count(self._marks, mark.kind, "verified" if mark.verified else "failed")
        if decision.stream is not None:
            self._count(self._streams, decision.stream.ending.value)
        if self._tenants is not None:
            self._count(self._tenants, self._tenant(context.tenant), verdict.action.value)

    def stepped(self, name: str, facts: Mapping[str, object], seconds: float, *, failed: bool) -> None:
        """A step ended. Raises KeyError for a step that nobody named."""
        outcome = "failed" if failed else "ok"
        if name == GENERATE:
            self._observe(self._generators, seconds, str(facts.get("generator", "")), outcome)
        else:
            self._observe(self._steps, seconds, {CHECKS: CHECKS, MARKS: MARKS, APPEND: APPEND}[name], outcome)

    def left(self, seconds: float) -> None:
        """Text of a stream left."""
        self._left.observe(seconds)

    def committed(self, entries: int, seconds: float, failed: int) -> None:
        """The ledger ended a transaction of so many entries, of which some were not recorded."""
        self._observe(self._commits, seconds, "failed" if failed == entries else "ok")
        self._group.observe(entries)
        for outcome, count in (("ok", entries - failed), ("failed", failed)):
            if count:
                self._count(self._entries, outcome, by=count)

    def _tenant(self, name: str) -> str:
        if name not in self._known_tenants and len(self._known_tenants) >= MOST_TENANTS:
            return OTHER
        self._known_tenants.add(name)
        return name

    def _count(self, metric: Counter, *labels: str, by: int = 1) -> None:
        child = self._counters.get((metric, labels))  # twice as fast as asking the metric
        if child is None:
            child = self._counters[metric, labels] = metric.labels(*labels)
        child.inc(by)

    def _observe(self, metric: Histogram, value: float, *labels: str) -> None:
        child = self._histograms.get((metric, labels))
        if child is None:
            child = self._histograms[metric, labels] = metric.labels(*labels)
        child.observe(value)
