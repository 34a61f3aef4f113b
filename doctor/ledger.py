"""The ledger's database: can it be reached, is it of this version's form, how quick is it, and how far its time has come."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import select, text

from audit.migrate import schema_of
from audit.models import metadata
from audit.stores import Store, open_store
from doctor.finding import Finding, bad, ok, warning
from serving.settings import Settings

PART = "ledger"
ASKED = 20
"""How often the database is asked for nothing; the median counts."""
SLOW_MS = 5.0
AHEAD_S = 5.0
"""By how much the latest entry may be ahead of this clock: several machines write one ledger."""


def look(settings: Settings) -> Iterator[Finding]:
    """Reads alone; a ledger that is not there yet is no fault."""
    store = open_store(settings.ledger)
    if not store.exists():
        yield _to_begin(store)
        return
    yield from _read(store)


def _to_begin(store: Store) -> Finding:
    found = f"none in {store.name} yet"
    if store.path is None:
        return ok(PART, "database", f"{found}; the server answers")
    folder = store.path.parent
    if not folder.is_dir():
        return bad(PART, "database", f"{found}, and there is no folder {folder}", "Make the folder first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        return bad(PART, "database", f"{found}, and {folder} is not writable", "Let the service's user write there.")
    return ok(PART, "database", f"{found}; it begins when the service starts")


def _read(store: Store) -> Iterator[Finding]:
    entry, head = metadata.tables["entry"], metadata.tables["head"]
    with store.clear_errors("read the ledger"), store.reader().connect() as connection, connection.begin():
        if "entry" not in store.tables(connection):
            yield ok(PART, "database", f"{store.name} holds no ledger yet; it begins when the service starts")
            return
        took = []
        for _ in range(ASKED):
            began = time.perf_counter()
            connection.execute(text("SELECT 1")).scalar_one()
            took.append((time.perf_counter() - began) * 1000)
        size = connection.execute(select(head.c.size)).scalar_one()
        last = connection.execute(select(entry.c.time).order_by(entry.c.idx.desc()).limit(1)).scalar_one_or_none()
        schema = schema_of(connection)
    answer_ms = statistics.median(took)
    found, facts = f"{store.name}: {size:,} entries", {"entries": size, "answer_ms": round(answer_ms, 3)}
    if store.path is not None and not os.access(store.path, os.W_OK):
        yield bad(
            PART, "database", f"{found}; this user may not write to it", "Let the service's user write the file.", **facts
        )
    elif answer_ms > SLOW_MS:
        yield warning(PART, "database", f"{found}; {answer_ms:.1f} ms an answer", "Bring database and service closer.", **facts)
    else:
        yield ok(PART, "database", f"{found}; {answer_ms:.2f} ms an answer", **facts)
    if schema.pending:
        advice = "The next writer does it by itself; `genguard audit migrate --check` shows what."
        yield warning(PART, "tables", f"revision {schema.current}, {len(schema.pending)} changes are due", advice)
    else:
        yield ok(PART, "tables", f"revision {schema.current}, up to date")
    if last:
        yield _clock(last)


def _clock(last: str) -> Finding:
    ahead = (datetime.fromisoformat(last) - datetime.now(UTC)).total_seconds()
    if ahead > AHEAD_S:
        found = f"the latest entry is {ahead:.0f} s ahead of this clock"
        return warning(
            PART, "time", found, "Set this machine's clock, or that of the one that wrote it.", ahead_s=round(ahead, 3)
        )
    return ok(PART, "time", f"the latest entry was written {last}", ahead_s=round(ahead, 3))
