"""The verifier's part for what is missing on purpose: each missing payload or body has to be explained by an entry.

An erasure explains payloads of its subject in entries before it, a `retention_prune` bodies below its `below`, with which
payloads go. What an erasure explains must be gone, and no more may be missing than such entries say they dropped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from audit.canonical import loads
from audit.events import AGE, ERASURE, RETENTION_PRUNE, SUBJECT, Event, event_from
from audit.findable import findable
from guard.errors import LedgerError

PRUNED = {"kind": "pruned", "time": ""}
"""What the columns of an entry say whose body retention dropped; all others are NULL but `idx` and `leaf`."""

READ = (
    "SELECT entry.idx, entry.body FROM term JOIN entry ON entry.idx = term.idx "
    "WHERE term.name <> 'exact' AND term.name <> 'folded' AND term.name = 'what' AND term.value IN (?, ?) ORDER BY entry.idx"
)
"""Entries that may explain gaps, index and body, by what they say of themselves: `WHAT` (`audit.models.is_fact`)."""
WHAT = (SUBJECT, AGE)


@dataclass(frozen=True, slots=True)
class Gap:
    """What one entry explains."""

    idx: int
    """The entry."""
    kind: str
    reason: str
    payloads: int
    """Missing payloads that it explains."""
    bodies: int

    def __str__(self) -> str:
        counted = [f"{count} {what}" for count, what in ((self.payloads, "payloads"), (self.bodies, "bodies")) if count]
        return f"{' and '.join(counted)} by entry {self.idx} ({self.kind}: {self.reason})"


class Gaps:
    """Entries that explain gaps, and how much of each was needed."""

    def __init__(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """`rows`: what `READ` gives; those that cannot be read are the main pass's affair."""
        self._events: dict[int, Event] = {}
        self._by_subject: dict[str, list[int]] = {}
        self._prunes: list[int] = []
        self._reach: list[int] = []  # of each pruning or one before it: entries below are covered
        self._payloads: Counter[int] = Counter()
        self._bodies: Counter[int] = Counter()
        for idx, data in rows:
            try:
                event = event_from(loads(data))
            except (LedgerError, TypeError, KeyError, AttributeError):
                continue
            if event.kind == ERASURE:
                self._by_subject.setdefault(findable(event.subject), []).append(idx)
            elif event.kind == RETENTION_PRUNE:
                self._prunes.append(idx)
                reach = min(idx, _number(event, "below"))
                self._reach.append(max(reach, self._reach[-1] if self._reach else 0))
            self._events[idx] = event

    @property
    def erases(self) -> bool:
        """Whether there are erasures at all."""
        return bool(self._by_subject)

    def erased(self, idx: int, tenant: str, subject: str) -> int | None:
        """The first erasure that covers the content of an entry of this tenant and subject.

        Names that columns write alike share their keys, and so what becomes of them.
        """
        for found in self._by_subject.get(findable(subject), ()):
            if found > idx and findable(self._events[found].tenant) in {"", findable(tenant)}:
                return found
        return None

    def pruned(self, idx: int) -> int | None:
        """The first pruning that covers an entry."""
        place = bisect_right(self._reach, idx)
        return self._prunes[place] if place < len(self._prunes) else None

    def explain_payload(self, idx: int, tenant: str, subject: str) -> bool:
        """Whether a missing payload of an entry that has its body is explained; if so, it is counted."""
        found = self.erased(idx, tenant, subject)
        if found is not None:
            self._payloads[found] += 1
        return found is not None

    def explain_body(self, idx: int) -> bool:
        """Whether a missing body is explained; if so, it is counted."""
        found = self.pruned(idx)
        if found is not None:
            self._bodies[found] += 1
        return found is not None

    def take(self) -> tuple[Counter[int], Counter[int]]:
        """What was counted since the last time, payloads and bodies; it begins anew."""
        counted = self._payloads, self._bodies
        self._payloads, self._bodies = Counter(), Counter()
        return counted

    def add(self, payloads: Mapping[int, int], bodies: Mapping[int, int]) -> None:
        """Count what `take` gave, here or in another process."""
        self._payloads.update(payloads)
        self._bodies.update(bodies)

    def compare(self, problem: Callable[[int | None, str, object, object], None]) -> None:
        """No more is missing than these entries say; a body that a hold kept may have gone with a later one."""
        for idx, count in self._payloads.items():
            stated = _number(self._events[idx], "payloads")
            if count > stated:
                problem(idx, "payload", f"{count} missing payloads", f"at most {stated}, as this erasure says")
        stated = sum(_number(self._events[idx], "bodies") for idx in self._prunes)
        if self._bodies.total() > stated:
            problem(
                None, "body", f"{self._bodies.total()} missing bodies", f"at most {stated}, as the entries of retention say"
            )

    def explained(self) -> tuple[Gap, ...]:
        """What each entry explains, in order; those that explain nothing are left out."""
        used = sorted({*self._payloads, *self._bodies})
        return tuple(
            Gap(idx, self._events[idx].kind, self._events[idx].reason, self._payloads[idx], self._bodies[idx]) for idx in used
        )


def _number(event: Event, name: str) -> int:
    return int(str(event.fields.get(name, 0)))
