"""How fast the review queue lists: `python benchmarks/reviews.py [--held N] [--decided N]`.

Makes a ledger of held decisions (of which the first ones were decided), by its own writer, and lists the oldest ones that wait.
Prints medians of 20 calls in milliseconds; each opens the database anew, as the service does.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from audit import review_queue
from audit.events import REVIEW, Event, Value
from audit.ledger import SqlLedger, open_ledger
from guard.ids import uuid7
from guard.types import Action, Content, Context, Decision, FiredRule, Modality, Origin, Request, Stage, Verdict

DOCUMENT = '{"policy":"bench"}'
REVISION = sha256(DOCUMENT.encode()).hexdigest()
FIRED = (FiredRule("passage", "Passages are looked at", Action.REVIEW, "intellectual_property", "House rules 4", "found one"),)

GROUP = 2000
"""Entries that wait at a time."""


def held(number: int) -> Decision:
    """A held text."""
    request = Request(f"req-{number}", f"tenant-{number % 20}", "app", f"subject-{number % 500}")
    content = Content(Modality.TEXT, f"Output number {number}.", "text/plain", Stage.OUTPUT, Origin("language"), request)
    now = datetime.now(UTC)
    return Decision(
        id=uuid7(),
        time=now,
        content=content,
        context=Context(Stage.OUTPUT, Modality.TEXT, "language", request.tenant, "en", content.length, now),
        request=request,
        results=(),
        verdict=Verdict(Action.REVIEW, FIRED, "Held for review.", "bench", 1, REVISION),
        released=None,
    )


async def fill(ledger: SqlLedger, count: int, decided: int) -> None:
    """`count` held decisions in groups; the first `decided` of them closed by a person."""
    await ledger.activate("bench", 1, REVISION, DOCUMENT)
    made = [held(number) for number in range(count)]
    for start in range(0, count, GROUP):
        await asyncio.gather(*(ledger.append(one) for one in made[start : start + GROUP]))
    for start in range(0, decided, GROUP):
        await asyncio.gather(
            *(ledger.record(closing(one, 2 + start + at)) for at, one in enumerate(made[start : start + GROUP]))
        )


def closing(decision: Decision, idx: int) -> Event:
    """What a person decided on a decision of this index."""
    fields: dict[str, Value] = {"step": "decide", "outcome": "withhold", "code": "policy_correct", "round": 1, "rounds": 1}
    return Event(REVIEW, "ann", {**fields, "closes": idx}, str(decision.id), tenant=decision.request.tenant)


def measure(name: str, call: Callable[[], Any]) -> None:
    """Print the medians of 20 calls: by the clock, and of this process alone, which others on the machine do not slow down."""
    took, used = [], []
    for _ in range(20):
        start, begun = time.perf_counter(), time.process_time()
        call()
        took.append((time.perf_counter() - start) * 1000)
        used.append((time.process_time() - begun) * 1000)
    print(
        f"{name:<34}{statistics.median(took):8.1f} ms (slowest {max(took):.1f}), {statistics.median(used):.1f} ms of CPU",
        flush=True,
    )


def main() -> None:
    """Measure with these numbers."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--held", type=int, default=100_000)
    arguments.add_argument("--decided", type=int, default=0)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'ledger.db'}"
        with open_ledger(url) as ledger:
            asyncio.run(fill(ledger, given.held, given.decided))
            print(f"{given.held} held decisions, {given.decided} of them decided")
            measure("the 50 oldest of all", lambda: review_queue.waiting(url))
            measure("the 50 oldest of one category", lambda: review_queue.waiting(url, "category:intellectual_property"))
            measure("the 50 oldest of one policy", lambda: review_queue.waiting(url, "policy:bench"))
            measure("the 50 oldest of one tenant", lambda: review_queue.waiting(url, tenant="tenant-7"))
            measure("how many wait", lambda: review_queue.count(url))


if __name__ == "__main__":
    main()
