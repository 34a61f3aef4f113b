"""Bodies as columns: compiled loops read what msgspec reads, and know when they do not."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_examples import DOCUMENT, REVISION, decision, image, text

from audit import columns
from audit.body import decision_body
from audit.canonical import dumps
from audit.columns import history
from audit.grammar import parse
from audit.ledger import open_ledger
from guard.errors import LedgerError
from guard.recorded import EARLY, FAILED, OK, STOPPED, TIMEOUT
from guard.types import (
    NONE,
    Action,
    CheckResult,
    Context,
    Finding,
    Mark,
    Modality,
    Region,
    Request,
    Shadow,
    Span,
    Stage,
    Status,
)

PART = {"part": "original", "bytes": 1, "commit": "c" * 64, "sealed": "d" * 64}
PAYLOADS = {"original": PART, "released": {**PART, "part": "released"}}


def body(one, **more) -> bytes:
    return dumps(decision_body(replace(one, **more), PAYLOADS, {"exact": "ab"}))


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
places = st.one_of(st.none(), st.builds(Span, st.integers(0, 9), st.integers(0, 99)), st.just(Region(0, 1, 22, 333)))
results = st.builds(
    CheckResult, words, words, words, words, st.sampled_from(Status),
    st.lists(st.builds(Finding, words, words, st.integers(0, 1000), places, reason=words), max_size=3).map(tuple),
    places, st.integers(0, 10**9), st.sampled_from(["", STOPPED, "gone", 'a "b" \\']),
)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Any decision that a ledger could hold."""
    one = decision(draw(st.sampled_from([Action.ALLOW, Action.REDACT, Action.BLOCK])), tenant=draw(words) or "t")
    modality, found = draw(st.sampled_from(Modality)), tuple(draw(st.lists(results, max_size=3)))
    asked = draw(st.sampled_from([{}, {"purpose": draw(words) or NONE}, {"purpose": "care", "consent": draw(words) or "c-1"}]))
    context = Context(
        draw(st.sampled_from(Stage)), modality, draw(words), draw(words), draw(words), draw(st.integers(0, 99)), **asked
    )
    marks = tuple(
        Mark("watermark", "m", "", verified=held, error='"verified":') for held in draw(st.lists(st.booleans(), max_size=3))
    )
    shadows = (Shadow(one.verdict, found),) if draw(st.booleans()) else ()
    content = draw(st.sampled_from([one.content, None, image(b"x", Request("r")), text('{"results":[]}', Request("r"))]))
    return body(one, context=context, results=found, marks=marks, shadows=shadows, content=content, released=None)


def told(recorded) -> dict:
    """All columns as lists."""
    found = {one.name: getattr(recorded, one.name) for one in fields(recorded) if one.name not in {"decision", "fired"}}
    tables = {
        f"{name}.{one.name}": getattr(found[name], one.name) for name in ("results", "findings") for one in fields(found[name])
    }
    sources = [recorded.sources[number] for number in recorded.results.source.tolist()]
    labels = [recorded.labels[number] for number in recorded.findings.label.tolist()]
    rest = {name: value for name, value in (found | tables).items() if name.rpartition(".")[2] not in {"source", "label"}}
    rest = {name: list(value) for name, value in rest.items() if name not in {"results", "findings", "sources", "labels"}}
    return rest | {"sources": sources, "labels": labels, "fired": [recorded.fired(row) for row in range(len(recorded))]}


@given(st.lists(bodies(), min_size=1, max_size=4))
@settings(max_examples=80)
def test_compiled_loops_read_what_msgspec_reads(some):
    """Column by column, for any decision; and they do read it, with nobody's help."""
    rows = list(enumerate(some))
    plain = columns._plain(rows)
    columns._plain, kept = None, columns._plain
    try:
        fast = columns._fast(rows)
    finally:
        columns._plain = kept
    assert told(fast) == told(plain)


@given(bodies(), st.integers(0, 2**32))
@settings(max_examples=120)
def test_damaged_bodies_are_refused_or_read_alike(one, seed):
    """Whatever bytes they have become, nothing is read beyond them and nothing is made up."""
    chance = random.Random(seed)
    broken = bytearray(one)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(broken))
        kind = chance.randrange(3)
        if kind == 0:
            broken[place] = chance.choice(b'"\\{}[]:,0a-')
        elif kind == 1:
            del broken[place : place + chance.randrange(1, 30)]
        else:
            broken = broken[: place + 1]
    rows = [(7, bytes(broken)), (8, one)]
    try:
        plain = told(columns._plain(rows))
    except (LedgerError, UnicodeDecodeError):
        return
    fast = columns._fast(rows)
    names = ("action", "revision", "stage", "modality", "tenant", "generator", "language", "length", "results.row")
    assert {name: told(fast)[name] for name in names} == {name: plain[name] for name in names}


def test_statuses_and_coverage():
    """Early stops are told from other skips; what was read is compared with the length."""
    context = Context(Stage.OUTPUT, Modality.TEXT, "g", length=10)
    made = [
        CheckResult(name, name, "1", "", status, (), scanned, 5, error)
        for name, status, scanned, error in (
            ("a", Status.OK, Span(0, 10), ""),
            ("b", Status.OK, Span(0, 9), ""),
            ("c", Status.OK, Region(0, 0, 4, 4), ""),
            ("d", Status.SKIPPED, None, STOPPED),
            ("e", Status.SKIPPED, None, "it read nothing"),
            ("f", Status.FAILED, None, "gone"),
            ("g", Status.TIMEOUT, None, "late"),
        )
    ]
    one = body(decision(), context=context, results=tuple(made))
    for read in (columns._plain, columns._fast):
        found = read([(0, one)]).results
        assert found.status.tolist() == [OK, OK, OK, EARLY, FAILED, FAILED, TIMEOUT]
        assert found.whole.tolist()[:3] == [True, False, False]


def test_a_ledger_is_read_newest_first_both_ways(ledger, url):
    """With filters, limits and batches of any size."""
    for number in range(7):
        ledger.append_sync(decision(number=number, tenant="acme" if number % 2 else "other"))
    for many in (0, 10**9):
        with history(url, many=many) as found:
            assert [list(batch.index) for batch in found.batches(3)] == [[8, 7, 6], [5, 4, 3], [2]]
            assert found.pruned == 0
        with history(url, parse("tenant:acme"), limit=2, many=many) as found:
            [batch] = found.batches()
        assert (list(batch.index), list(batch.tenant)) == ([7, 5], ["acme", "acme"])
        assert batch.decision(0).request.id == "req-5"


@pytest.fixture
def damaged(tmp_path):
    """A ledger on SQLite of nine decisions, from index 2 on, and what changes it past its triggers."""
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as opened:
        opened.activate_sync("house", 1, REVISION, DOCUMENT)
        for number in range(9):
            opened.append_sync(decision(number=number))

    def change(statement, *values):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DROP TRIGGER entry_no_update")
            connection.execute(statement, values)

    return f"sqlite:///{path}", change


def test_bodies_that_are_gone_count_when_their_batch_comes(damaged):
    """Though the compiled loops are a batch ahead; who leaves early leaves no thread behind."""
    url, change = damaged
    change("UPDATE entry SET body = NULL WHERE idx IN (4, 5, 6, 9)")
    for many in (0, 10**9):
        with history(url, many=many) as found:
            seen = [(list(batch.index), found.pruned) for batch in found.batches(3)]
            assert seen == [([10, 8], 1), ([7], 3), ([3, 2], 4)]
        with history(url, many=many) as found:
            assert list(next(iter(found.batches(2))).index) == [10]
    assert not [one.name for one in threading.enumerate() if one.name.startswith("genguard-history")]


def test_what_cannot_be_read_is_an_error_however_it_is_read(damaged):
    """Also when another thread meets it."""
    url, change = damaged
    change("UPDATE entry SET body = ? WHERE idx = 3", b'{"schema":1}')
    for many in (0, 10**9):
        with history(url, many=many) as found, pytest.raises(LedgerError, match="entry 3 has a body that is no decision"):
            list(found.batches(1))


def test_a_ledger_that_is_not_there(tmp_path):
    """Says so."""
    with pytest.raises(LedgerError, match="there is no ledger"), history(f"sqlite:///{tmp_path / 'none.db'}"):
        pass


def test_history_is_read_from_either_database(url):
    """Newest first, within bounds of time, with a limit; batch by batch."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(7):
            opened.append_sync(decision(number=number, tenant="acme" if number % 2 else "other"))
    with history(url, parse("tenant:acme since:2026-11-01 until:2026-12-01")) as found:
        assert [batch.index for batch in found.batches(2)] == [[7, 5], [3]]
    with history(url, limit=3) as found:
        assert [index for batch in found.batches() for index in batch.index] == [8, 7, 6]
    with history(url, parse("until:2000-01-01")) as found:
        assert list(found.batches()) == []
