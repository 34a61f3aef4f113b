"""Durable appends per second on this machine, beside one commit a row, and how fast the verifier is.

    python benchmarks/ledger.py [--folder DIR] [--seconds 3]

Each caller appends decisions of about 2 kB with two encrypted payloads, one after the other. The naive writer stores the same
prepared rows, one transaction each, on the same disk with the same durability, each row hashed together with the one before.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audit.ledger import SqlLedger, open_ledger
from audit.query import query
from audit.verify import verify
from guard.types import (
    Action,
    CheckResult,
    Content,
    Context,
    Decision,
    Edit,
    Finding,
    FiredRule,
    Modality,
    Origin,
    Request,
    Span,
    Stage,
    Status,
    Verdict,
)

DOCUMENT = '{"policy":"benchmark"}'
REVISION = sha256(DOCUMENT.encode()).hexdigest()


def example(number: int) -> Decision:
    """A redacted reply of a language model."""
    request = Request(f"request-{number}", "acme", "key-1", f"subject-{number % 50}", "en")
    origin = Origin("language", "bundled/service", "ab" * 32, (("seed", str(number)), ("temperature", "0.8")))
    content = Content(
        Modality.TEXT, f"Your card 4111 1111 1111 1111 is on file. {number}", "text/plain", Stage.OUTPUT, origin, request
    )
    findings = (Finding("privacy", "CREDIT_CARD", 990, Span(10, 29), reason="checksum is right"),)
    results = (
        CheckResult("pii", "pii", "1", "cd" * 32, Status.OK, findings, Span(0, content.length), 812),
        CheckResult(
            "toxicity",
            "toxicity",
            "1",
            "ef" * 32,
            Status.OK,
            (Finding("harassment", "insult", 12),),
            Span(0, content.length),
            5120,
        ),
    )
    fired = (
        FiredRule("card-number", "Card numbers are masked", Action.REDACT, "privacy", "House rules 2", "pii found CREDIT_CARD"),
    )
    edits = (Edit(Span(10, 29), "mask", "CREDIT_CARD", "card-number", (("keep_last", "4"),)),)
    verdict = Verdict(Action.REDACT, fired, "card-number masked 1 place", "benchmark", 1, REVISION, edits)
    context = Context(Stage.OUTPUT, Modality.TEXT, "language", "acme", "en", content.length)
    released = replace(content, data=f"Your card ************1111 is on file. {number}")
    return Decision(uuid4(), datetime.now(UTC), content, context, request, results, verdict, released)


def quantile(values: list[float], part: float) -> float:
    """The value below which this part of all lies."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def appends(ledger: SqlLedger, callers: int, seconds: float) -> tuple[float, list[float]]:
    """Appends per second of that many callers at once, and each one's seconds."""
    numbers, taken = count(), []
    base = example(0)

    async def work(until: float) -> None:
        while time.perf_counter() < until:
            one = replace(
                base, id=uuid4(), time=datetime.now(UTC), request=replace(base.request, id=f"request-{next(numbers)}")
            )
            started = time.perf_counter()
            await ledger.append(one)
            taken.append(time.perf_counter() - started)

    async def run() -> float:
        started = time.perf_counter()
        await asyncio.gather(*[work(started + seconds) for _ in range(callers)])
        return len(taken) / (time.perf_counter() - started)

    return asyncio.run(run()), taken


def naive(path: Path, ledger: SqlLedger, seconds: float) -> tuple[float, list[float]]:
    """One row, one hash over the row before, one commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE log (idx INTEGER PRIMARY KEY, hash BLOB, body BLOB, a BLOB, b BLOB)")
    previous, taken = bytes(32), []
    started = time.perf_counter()
    while time.perf_counter() < started + seconds:
        one = example(len(taken))
        begun = time.perf_counter()
        draft = ledger._draft(one)  # noqa: SLF001 - the same preparation, so that only committing differs
        connection.execute("BEGIN IMMEDIATE")
        previous = sha256(previous + draft.columns["body"]).digest()
        row = (previous, draft.columns["body"], *[sealed.ciphertext for sealed in draft.sealed])
        connection.execute("INSERT INTO log (hash, body, a, b) VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")
        taken.append(time.perf_counter() - begun)
    rate = len(taken) / (time.perf_counter() - started)
    connection.close()
    return rate, taken


def line(name: str, rate: float, taken: list[float]) -> None:
    """One line of the table."""
    print(
        f"{name:<34} {rate:>9,.0f}/s   p50 {1000 * quantile(taken, 0.5):>7.2f} ms   p99 {1000 * quantile(taken, 0.99):>7.2f} ms"
    )


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=".", help="where the databases lie while it runs: the disk that is measured")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        url = f"sqlite:///{folder}/ledger.db"
        with open_ledger(url) as ledger:
            ledger.activate_sync("benchmark", 1, REVISION, DOCUMENT)
            decisions = [example(number) for number in range(300)]
            started = time.process_time()
            bodies = [len(ledger._draft(one).columns["body"]) for one in decisions]  # noqa: SLF001 - measured alone
            each = (time.process_time() - started) / len(decisions)
            size = statistics.mean(bodies)
            print(f"preparing an entry (body {size:.0f} bytes, 2 payloads): {1e6 * each:.0f} us of a core")
            line("naive: one commit a row, 1 caller", *naive(Path(folder) / "naive.db", ledger, options.seconds))
            for callers in (1, 16, 256):
                line(f"ledger: {callers} concurrent callers", *appends(ledger, callers, options.seconds))
            size = ledger.size
        report = verify(url)
        answer = "ok" if report.ok else "TAMPERED"
        print(f"verify: {size:,} entries in {report.seconds:.2f} s, {size / report.seconds:,.0f}/s, {answer}")
        started = time.perf_counter()
        query(url, "action:redact category:privacy tenant:acme")
        print(f"query of 50 among {size:,}: {1000 * (time.perf_counter() - started):.1f} ms")


if __name__ == "__main__":
    main()
