"""Durable appends per second on this machine, beside one commit a row in the same run, and how long an answer takes under load.

    python benchmarks/ledger.py [--folder DIR] [--seconds 3] [--repeat 3] [--kind typical] [--postgres] [--quick] [--grow N]

An entry is a decision on the reply of a language model (`--kind`):

    typical  redacted: two encrypted payloads, two checks with a finding each, a fired rule, an edit
    large    redacted: two payloads of 900 characters, eight checks with six findings, two fired rules, four edits
    small    allowed as it is: one encrypted payload, one check that found nothing

Each differs from the others (ids, times, texts, places, scores, latencies), and all are made before the clock starts; what is
measured is the ledger's part, from the call of `append` to its receipt, which comes after the commit is on disk. Callers are
tasks of one event loop that append one decision after the other; `processes` says how many such loops there are. The offered
load arrives on time whether or not earlier answers are there, and its times count from when each was due. The naive writer
stores the same prepared rows, one transaction each, on the same disk with the same durability, each hashed with the one before.

Every figure is the median of `--repeat` runs, each in a ledger of its own whose size, indices, head and tree are compared
afterwards with what was acknowledged. `--postgres` starts a private server on the same disk (fsync on, synchronous_commit on).
CPU includes the callers' own; with PostgreSQL, the server's is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import platform
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import select

from audit import merkle
from audit.ledger import GROUP, SqlLedger, open_ledger
from audit.models import tables
from audit.query import query
from audit.verify import verify
from guard.ids import uuid7
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
OFFERED = 5000
"""Appends a second."""
CARD, MASKED = "4111 1111 1111 1111", "************1111"
FILL = "Thank you for your patience; the order left our warehouse this morning and will be with you soon. "
CHECKS = ("pii", "toxicity", "secrets", "injection", "works", "brands", "politics", "language")
_ENTRY, _, _HEAD, *_ = tables()


def example(number: int, kind: str = "typical") -> Decision:
    """One decision."""
    request = Request(f"request-{number:08x}", "acme", "key-1", f"subject-{number % 50}", "en")
    origin = Origin("language", "bundled/service", "ab" * 32, (("seed", str(number)), ("temperature", "0.8")))
    text = f"Your card {CARD} is on file. {number} " + (FILL * 9 if kind == "large" else "")
    content = Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, origin, request)
    seen = Context(Stage.OUTPUT, Modality.TEXT, "language", "acme", "en", content.length)
    shape: dict[str, Any] = {"content": content, "context": seen, "request": request}
    if kind == "small":
        verdict = Verdict(Action.ALLOW, (), "no rule fired", "benchmark", 1, REVISION)
        results: tuple[CheckResult, ...] = (_result("pii", content, number),)
        return Decision(uuid7(), datetime.now(UTC), results=results, verdict=verdict, released=content, **shape)
    many = 4 if kind == "large" else 1
    places = [Span(10 + number % 7 + shift, 29 + number % 7 + shift) for shift in range(0, 25 * many, 25)]
    cards = tuple(Finding("privacy", "CREDIT_CARD", 900 + number % 100, place, reason="checksum is right") for place in places)
    insult = (Finding("harassment", "insult", number % 300),)
    names = CHECKS if kind == "large" else CHECKS[:2]
    found = {"pii": cards, "toxicity": insult, "injection": insult}
    results = tuple(_result(name, content, number, found.get(name, ())) for name in names)
    fired = tuple(
        FiredRule(
            f"card-number-{rule}", "Card numbers are masked", Action.REDACT, "privacy", "House rules 2", "pii found a card"
        )
        for rule in range(2 if many > 1 else 1)
    )
    edits = tuple(Edit(place, "mask", "CREDIT_CARD", "card-number-0", (("keep_last", "4"),)) for place in places)
    verdict = Verdict(Action.REDACT, fired, f"masked {many} places", "benchmark", 1, REVISION, edits)
    released = replace(content, data=text.replace(CARD, MASKED))
    return Decision(uuid7(), datetime.now(UTC), results=results, verdict=verdict, released=released, **shape)


def _result(name: str, content: Content, number: int, findings: tuple[Finding, ...] = ()) -> CheckResult:
    digest = sha256(name.encode()).hexdigest()
    return CheckResult(name, name, "1", digest, Status.OK, findings, Span(0, content.length), 500 + number % 5000)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took. Times are in seconds."""

    count: int
    seconds: float
    cpu: float
    """Of a core, an entry."""
    taken: tuple[float, ...]
    """How long each append took, sorted."""

    @property
    def rate(self) -> float:
        """Appends per second."""
        return self.count / self.seconds

    def part(self, share: float) -> float:
        """The time below which this share of all appends lies, in milliseconds."""
        return 1000 * self.taken[min(len(self.taken) - 1, int(share * len(self.taken)))]


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the ledger."""

    name: str
    callers: int
    seconds: float
    kind: str
    processes: int = 1
    offered: int = 0
    """Appends a second, by the clock; 0: as fast as the callers get answers."""
    group: int = GROUP


def prepared(load: Load, share: int) -> Iterator[Decision]:
    """Enough decisions, made beforehand and kept away from Python's collector, which a service would not have to search."""
    rate = load.offered or (24_000 if load.callers >= 64 else 1_000 * load.callers)
    made = [example(share * 10_000_000 + number, load.kind) for number in range(int(rate * load.seconds) + load.callers)]
    gc.collect()
    gc.freeze()
    return iter(made)


async def closed(ledger: SqlLedger, load: Load, decisions: Iterator[Decision]) -> Run:
    """Each caller appends one after the other."""
    taken: list[float] = []

    async def work(until: float) -> None:
        for one in decisions:
            begun = time.perf_counter()
            if begun > until:
                return
            await ledger.append(one)
            taken.append(time.perf_counter() - begun)

    started, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*[work(started + load.seconds) for _ in range(load.callers)])
    return _run(taken, started, used)


async def opened(ledger: SqlLedger, load: Load, decisions: Iterator[Decision]) -> Run:
    """Appends arrive by the clock."""
    taken: list[float] = []
    total, sent, done = int(load.offered * load.seconds), 0, asyncio.Event()

    async def one(decision: Decision, due: float) -> None:
        await ledger.append(decision)
        taken.append(time.perf_counter() - due)
        if len(taken) == total:
            done.set()

    started, used = time.perf_counter(), time.process_time()
    running: set[asyncio.Task[None]] = set()
    while sent < total:
        due = min(total, int((time.perf_counter() - started) * load.offered))
        for decision in islice(decisions, due - sent):
            task = asyncio.create_task(one(decision, started + sent / load.offered))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await asyncio.sleep(0.002)
    await asyncio.wait_for(done.wait(), 60)
    return _run(taken, started, used)


def _run(taken: list[float], started: float, used: float) -> Run:
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    return Run(len(taken), seconds, cpu / len(taken), tuple(sorted(taken)))


def worker(url: str, key_file: str, load: Load, share: int, start: Any, answers: Any) -> None:
    """One process of a load."""
    decisions = prepared(load, share)
    with open_ledger(url, key_file=key_file, group_size=load.group, queue_size=65_536, busy_timeout_ms=60_000) as ledger:
        start.wait()
        answers.put(asyncio.run((opened if load.offered else closed)(ledger, load, decisions)))


def apply(load: Load, url: str, key_file: str) -> Run:
    """Put a load on a new ledger, from processes of its own, and compare the ledger with what was acknowledged."""
    with open_ledger(url, key_file=key_file) as ledger:
        ledger.activate_sync("benchmark", 1, REVISION, DOCUMENT)
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(load.processes), context.Queue()
    workers = [
        context.Process(target=worker, args=(url, key_file, load, share, start, answers)) for share in range(load.processes)
    ]
    for process in workers:
        process.start()
    runs: list[Run] = [answers.get(timeout=600) for _ in workers]
    for process in workers:
        process.join()
    count = sum(run.count for run in runs)
    check(url, key_file, count + 2)
    taken = tuple(sorted(one for run in runs for one in run.taken))
    return Run(count, max(run.seconds for run in runs), sum(run.cpu * run.count for run in runs) / count, taken)


def check(url: str, key_file: str, size: int) -> None:
    """Raise SystemExit unless the ledger has just these entries, without gaps, and its head is their tree."""
    with open_ledger(url, key_file=key_file) as ledger, ledger.reader.connect() as connection:
        found = connection.execute(select(_ENTRY.c.idx, _ENTRY.c.leaf).order_by(_ENTRY.c.idx)).all()
        head = connection.execute(select(_HEAD.c.size, _HEAD.c.frontier)).one()
    gapless = [row.idx for row in found] == list(range(size))
    frontier, _ = merkle.extend((), 0, [row.leaf for row in found])
    if not gapless or tuple(head) != (size, merkle.pack(frontier)):
        raise SystemExit(f"found {len(found)} entries and a head of {head.size}, expected {size} and the tree over them")


def naive(path: Path, ledger: SqlLedger, seconds: float, kind: str) -> Run:
    """One row, one hash over the row before, one commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE log (idx INTEGER PRIMARY KEY, hash BLOB, body BLOB, a BLOB, b BLOB)")
    taken: list[float] = []
    with closing(connection):

        def store(row: tuple[bytes | None, ...]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO log (hash, body, a, b) VALUES (?, ?, ?, ?)", row)
            connection.execute("COMMIT")

        return _chain(ledger, seconds, kind, taken, store)


def naive_postgres(url: str, ledger: SqlLedger, seconds: float, kind: str) -> Run:
    """The same on PostgreSQL."""
    import psycopg

    taken: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE log (idx bigserial PRIMARY KEY, hash bytea, body bytea, a bytea, b bytea)")

        def store(row: tuple[bytes | None, ...]) -> None:
            connection.execute("INSERT INTO log (hash, body, a, b) VALUES (%s, %s, %s, %s)", row)

        return _chain(ledger, seconds, kind, taken, store)


def _chain(
    ledger: SqlLedger, seconds: float, kind: str, taken: list[float], store: Callable[[tuple[bytes | None, ...]], None]
) -> Run:
    decisions = prepared(Load("naive", 16, seconds, kind), 0)
    previous, started, used = bytes(32), time.perf_counter(), time.process_time()
    for one in decisions:
        begun = time.perf_counter()
        if begun > started + seconds:
            break
        draft = ledger._draft(one)  # noqa: SLF001 - the same preparation, so that only committing differs
        body = draft.columns["body"]
        previous = sha256(previous + body).digest()
        texts = [sealed.ciphertext for sealed in draft.sealed]
        store((previous, body, texts[0], texts[-1] if len(texts) > 1 else None))
        taken.append(time.perf_counter() - begun)
    return _run(taken, started, used)


def line(name: str, runs: list[Run], unit: str = "") -> None:
    """One line of the table: the run of the median rate, and the rates of all."""
    ordered = sorted(runs, key=lambda run: run.rate)
    run = ordered[len(ordered) // 2]
    raw = " ".join(f"{one.rate:.0f}/{one.part(0.99):.0f}" for one in runs)
    print(
        f"{name:<44} {run.rate:>9,.0f}/s   p50 {run.part(0.5):>7.2f}  p99 {run.part(0.99):>7.2f}  max {run.part(1):>7.1f} ms   "
        f"CPU {1e6 * run.cpu:>6.0f} us{unit}   [{raw}]",
        flush=True,
    )


def flushes(folder: Path) -> str:
    """What it costs to have 4 kB, and 1 MB, on this disk."""
    told = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for size in (4096, 1 << 20):
            took = []
            for turn in range(40):
                os.pwrite(file.fileno(), os.urandom(size), turn * size)
                begun = time.perf_counter()
                os.fdatasync(file.fileno())
                took.append(time.perf_counter() - begun)
            told.append(f"{size >> 10} kB in {1000 * statistics.median(took):.2f} ms (max {1000 * max(took):.1f})")
    return ", ".join(told)


def prices(url: str, key_file: str, kind: str, count: int = 5120) -> None:
    """CPU of preparing entries and of committing them, each alone on one thread, in groups of GROUP."""
    decisions = [example(number, kind) for number in range(count)]
    with open_ledger(url, key_file=key_file) as ledger:
        ledger.activate_sync("benchmark", 1, REVISION, DOCUMENT)
        gc.collect()
        gc.freeze()
        used = time.process_time()
        drafts = [ledger._draft(one) for one in decisions]  # noqa: SLF001 - measured alone
        preparing = (time.process_time() - used) / count
        used, begun = time.process_time(), time.perf_counter()
        for start in range(0, count, GROUP):
            ledger._commit(drafts[start : start + GROUP])  # noqa: SLF001 - without queue and futures
        committing, elapsed = (time.process_time() - used) / count, (time.perf_counter() - begun) / count
    gc.unfreeze()
    body = statistics.mean(len(draft.columns["body"]) for draft in drafts)
    stored = statistics.mean(sum(len(one.ciphertext) for one in draft.sealed) for draft in drafts)
    facts = statistics.mean(len(draft.terms) for draft in drafts)
    print(
        f"{kind}: body {body:,.0f} bytes, {len(drafts[0].sealed)} payloads of together {stored:,.0f}, {facts:.0f} terms; "
        f"preparing {1e6 * preparing:.0f} us of CPU, committing {1e6 * committing:.0f} ({1e6 * elapsed:.0f} by the clock)",
        flush=True,
    )


def growth(url: str, key_file: str, kind: str, count: int, parts: int = 6) -> None:
    """What committing costs, in groups of GROUP on one thread, as a ledger grows to `count` entries."""
    with open_ledger(url, key_file=key_file) as ledger:
        ledger.activate_sync("benchmark", 1, REVISION, DOCUMENT)
        for part in range(parts):
            done = range(count * part // parts, count * (part + 1) // parts, GROUP)
            used, elapsed, written = 0.0, 0.0, 0
            for start in done:
                drafts = [ledger._draft(example(number, kind)) for number in range(start, start + GROUP)]  # noqa: SLF001
                cpu, begun, before = time.process_time(), time.perf_counter(), _written()
                ledger._commit(drafts)  # noqa: SLF001 - without queue and futures
                used, elapsed = used + time.process_time() - cpu, elapsed + time.perf_counter() - begun
                written += _written() - before
            entries = len(done) * GROUP
            print(
                f"{kind}, up to {ledger.size:>9,} entries: committing {1e6 * used / entries:.0f} us of CPU "
                f"({1e6 * elapsed / entries:.0f} by the clock), {written / entries:,.0f} bytes written an entry",
                flush=True,
            )


def _written() -> int:
    """Bytes that this process has written, to files and sockets alike."""
    return int(re.findall(r"wchar: (\d+)", Path("/proc/self/io").read_text())[0])


@contextmanager
def places(folder: Path, postgres: bool) -> Iterator[Callable[[], tuple[str, str]]]:
    """Gives the URL of a new ledger and its key file, again and again."""
    numbers = iter(range(10_000))
    if not postgres:

        def file() -> tuple[str, str]:
            number = next(numbers)
            return f"sqlite:///{folder}/ledger{number}.db", f"{folder}/{number}.key"

        yield file
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from postgres import Server, fresh

    tempfile.tempdir = str(folder)  # the server's files lie on the disk that is measured
    folder.chmod(0o755)
    server = Server.start()
    try:
        yield lambda: (fresh(server.url("postgres")), f"{folder}/{next(numbers)}.key")
    finally:
        server.close()


def loads(options: argparse.Namespace) -> list[Load]:
    """What is measured."""
    seconds, kind = options.seconds, options.kind
    closed_loops = [
        Load(f"{callers} callers", callers, seconds, kind) for callers in ((1024,) if options.quick else (1, 16, 256, 1024))
    ]
    several = [Load(f"2 processes of {callers} callers", callers, seconds, kind, processes=2) for callers in (512, 1024)]
    several.append(Load("2 processes of 2048, groups of 1024", 2048, seconds, kind, processes=2, group=1024))
    by_clock = Load(f"{OFFERED:,}/s offered", 0, max(seconds, 4.0), kind, offered=OFFERED)
    return [*closed_loops, *several, by_clock]


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=".", help="where the databases lie while it runs: the disk that is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kind", choices=("typical", "large", "small"), default="typical")
    parser.add_argument("--postgres", action="store_true", help="measure PostgreSQL instead of SQLite")
    parser.add_argument("--quick", action="store_true", help="saturation and offered load alone")
    parser.add_argument("--grow", type=int, default=0, metavar="N", help="only: what an entry costs as a ledger grows to N")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.platform()}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} (WAL, synchronous=FULL), groups of {GROUP}")
    with tempfile.TemporaryDirectory(dir=Path(options.folder).resolve()) as name, places(Path(name), options.postgres) as place:
        print(f"fdatasync of {flushes(Path(name))}")
        if options.grow:
            growth(*place(), options.kind, options.grow)
            return
        for kind in ("small", "typical", "large"):
            prices(*place(), kind)
        url, key_file = place()
        with open_ledger(url, key_file=key_file) as ledger:
            runs = []
            for turn in range(options.repeat):
                if options.postgres:
                    runs.append(naive_postgres(place()[0], ledger, options.seconds, options.kind))
                else:
                    runs.append(naive(Path(name) / f"naive{turn}.db", ledger, options.seconds, options.kind))
            line(f"naive chain, one commit a row ({options.kind})", runs)

        for load in loads(options):
            runs = []
            for _ in range(options.repeat):
                url, key_file = place()
                runs.append(apply(load, url, key_file))
            line(f"ledger, {load.name} ({load.kind})", runs)
        report(url, key_file)


def report(url: str, key_file: str) -> None:
    """Verify the last ledger as a whole, and ask it something."""
    found = verify(url, key_file=Path(key_file))
    print(f"verify: {found.size:,} entries in {found.seconds:.2f} s, {'ok' if found.ok else 'TAMPERED'}")
    begun = time.perf_counter()
    query(url, "category:privacy tenant:acme")
    print(f"query of 50 among {found.size:,}: {1000 * (time.perf_counter() - begun):.1f} ms")


if __name__ == "__main__":
    main()
