"""The verifier's quick reading agrees with its careful one, and several processes find what one finds."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_examples import DOCUMENT, REVISION, decision, picture, verdict
from test_verify import check, restore, tamper

from audit import merkle
from audit import verify as verify_module
from audit.anchor import FileAnchor
from audit.body import commitments, decision_body, decision_from
from audit.canonical import dumps, loads
from audit.findable import SAFE
from audit.keys import default_key_file
from audit.ledger import open_ledger
from audit.notary import Notary
from audit.projected import ENTRY_COLUMNS, project
from audit.projected import terms as terms_of
from audit.verifier import typed
from audit.verify import verify
from guard.errors import LedgerError
from guard.types import Action, Region, Reviewed, Shadow

SEAL = {"part": "original", "bytes": 44, "commit": "ab" * 32, "sealed": "cd" * 32}
HELD = UUID("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")


def bodies() -> list[dict]:
    """Bodies of decisions, with every field that one may have."""
    seals = {"original": SEAL, "released": {**SEAL, "part": "released"}}
    whole = decision()
    shadows = (Shadow(verdict(Action.BLOCK, "threat", "violence"), whole.results), Shadow(whole.verdict, ()))
    reviewed = Reviewed(HELD, datetime(2026, 11, 22, tzinfo=UTC), ("threat",), "ann", "context", 7)
    results = tuple(
        replace(
            one, findings=tuple(replace(found, where=Region(0, 0, 2, 2), match=None) for found in one.findings), scanned=None
        )
        for one in whole.results
    )
    fired = (*verdict(Action.BLOCK).fired, *verdict(Action.LABEL, "threat", "privacy").fired)
    made = [
        decision_body(picture(3, results=results), seals, {"exact": "aa", "folded": "bb"}),
        decision_body(decision(Action.ALLOW, released=None, parent=None, results=(), marks=()), seals),
        decision_body(
            decision(Action.BLOCK, results=whole.results[:1], verdict=replace(verdict(Action.BLOCK), fired=fired)), seals
        ),
    ]
    text = replace(whole, results=whole.results[:1])
    rest = ({}, {"shadows": (replace(shadows[0], results=whole.results[:1]), shadows[1])}, {"reviewed": reviewed})
    made += [decision_body(replace(text, **more), seals, {"exact": "cc"}) for more in rest]
    made.append(
        {
            **made[-1],
            "request": {
                **made[-1]["request"],
                "purpose": "help",
                "consent": "yes",
                "subject": 'Zoë \u2028\x01\x1f\x7f"\\/\U0001f600',
                "conversation": "c\x01",
            },
        }
    )
    return made


def accepts(data: bytes) -> bool:
    """Whether the careful way has nothing against a decision's body."""
    try:
        body = loads(data)
        project(body)
        terms_of(body)
        decision_from(body)
        commitments(body)
    except (LedgerError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return False
    return True


def quick(data: bytes):
    """What the quick reading makes of a body under either column; it takes none under both."""
    read = typed.Reader().read
    taken = [one for one in (read(data, "text"), read(data, "image")) if one is not None]
    assert len(taken) < 2
    return taken[0] if taken else None


def test_the_quick_reading_takes_every_decision_of_this_version():
    """None of them is left to the careful one, and columns and terms are those of the models."""
    for body in bodies():
        taken = quick(dumps(body))
        assert taken is not None, body
        assert typed.columns(taken) == tuple(project(body)[name] for name in ENTRY_COLUMNS[4:])
        assert typed.terms(5, taken) == sorted((5, *term) for term in terms_of(body))


def test_fields_stand_in_the_order_of_their_names():
    """As canonical JSON has them; else every body would take the slow way."""
    parts = [one for one in vars(typed).values() if isinstance(one, type) and issubclass(one, typed._Part)]
    assert len(parts) > 10
    for part in parts:
        assert list(part.__struct_fields__) == sorted(part.__struct_fields__), part


@pytest.mark.parametrize("number", range(7))
def test_what_the_quick_reading_takes_the_careful_one_takes(number):
    """Bodies with one byte changed, cut out or put in, and others written another way."""
    data = dumps(bodies()[number])
    chance = random.Random(number)
    taken = 0
    for _ in range(1500):
        changed = bytearray(data)
        place = chance.randrange(len(data))
        kind = chance.randrange(3)
        if kind == 0:
            changed[place] = chance.choice(b'0159.-eE+"\\{}[],: antf\x00\x1f\x7f\xed\xff' + bytes([chance.randrange(256)]))
        elif kind == 1:
            del changed[place : place + chance.randrange(1, 40)]
        else:
            changed[place:place] = chance.choice(
                (b"0", b"-", b".0", b"e1", b" ", b",1", b"\\u0041", b'"a":1,', b"9" * 17, b"null")
            )
        if quick(bytes(changed)) is not None:
            taken += 1
            assert accepts(bytes(changed)), bytes(changed)
    assert taken > 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"score":990', b'"score":990.0'),
        (b'"score":990', b'"score":9007199254740992'),
        (b'"score":990', b'"score":-0'),
        (b'"latency_us":812', b'"latency_us":null'),
        (b'"where":[5,24]', b'"where":[5,24,30]'),
        (b'"where":[5,24]', b'"where":[5]'),
        (b'"language":"en"', b'"language":"\\u0065n"'),
        (b'"language":"en"', b'"language":"\\ud800"'),
        (b'"kind":"decision"', b'"kind":"decision" '),
        (b'"schema":1', b'"schema":1,"schema":1'),
        (b'"schema":1', b'"schema":2'),
        (b'"schema":1', b'"schema":1,"zzz":1'),
        (b'"status":"ok"', b'"status":"fine"'),
        (b'"time":"2026-', b'"time":"2026/'),
        (b'"parent":"0190', b'"parent":"0190-'),
    ],
)
def test_what_is_no_canonical_decision_is_left_to_the_careful_reading(old, new):
    """By type, by form, by version."""
    data = dumps(bodies()[3])
    assert old in data
    assert quick(data.replace(old, new, 1)) is None


@given(st.text(), st.integers(-(2**53) + 1, 2**53 - 1))
def test_any_text_and_number_is_written_alike(text, number):
    """msgspec writes strings as canonical JSON has them."""
    body = bodies()[1]
    body["request"] = {**body["request"], "subject": text}
    body["context"] = {**body["context"], "length": number}
    try:
        data = dumps(body)
    except LedgerError:  # a lone surrogate
        return
    assert (quick(data) is not None) is ("\0" not in text and len(text) <= SAFE)


@pytest.mark.parametrize("text", ["a\x00b", "n" * 1001, "\U0001f600" * 251])
def test_a_column_that_holds_a_text_as_it_was_is_told(path, url, text):
    """Columns hold such texts in another way, which the quick reading leaves to the careful one."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        opened.append_sync(decision(Action.BLOCK, subject=text, results=decision().results[:1]))
        fired = (replace(verdict(Action.BLOCK).fired[0], category=text),)
        said = replace(verdict(Action.BLOCK), fired=fired)
        opened.append_sync(decision(Action.BLOCK, number=1, verdict=said, results=decision().results[:1]))
    assert check(path).ok
    pristine = path.read_bytes()
    for statement, idx in (
        ("UPDATE entry SET subject = ? WHERE idx = 2", 2),
        ("UPDATE term SET value = ? WHERE idx = 3 AND name = 'category'", 3),
    ):
        tamper(path, statement, parameters=(text,))
        assert {one.idx for one in check(path).problems} == {idx}, statement
        restore(path, pristine)


@pytest.mark.parametrize(
    ("text", "well"),
    [
        (str(HELD), True),
        (str(HELD).upper(), False),
        (str(HELD)[1:], False),
        (str(HELD) + "0", False),
        (str(HELD).replace("-", "0"), False),
        ("-" + str(HELD)[1:], False),
        (str(HELD)[:-1] + "\u0660", False),
        ("", False),
    ],
)
def test_ids_are_lower_case_and_grouped(text, well):
    """As bodies have them, and as their columns compare."""
    assert typed.is_id(text) is well


@given(st.text("0123456789abcdefABCDEFg-", min_size=36, max_size=36))
def test_ids_are_those_that_their_pattern_takes(text):
    """Whatever stands where."""
    assert typed.is_id(text) is bool(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))


# --- several processes -------------------------------------------------------------------------------------------------


@pytest.fixture
def many(monkeypatch):
    """Several processes for any ledger, eight entries at a time."""
    monkeypatch.setattr(verify_module, "MANY", 0)
    monkeypatch.setattr(verify_module, "STRETCH", 8)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A closed ledger of 60 entries with an anchor of several checkpoints."""
    path = tmp_path_factory.mktemp("original") / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        notary = Notary(opened.reader, path, log_key(path), [FileAnchor(path.with_suffix(".anchor"))])
        for number in range(58):
            made = picture(number) if number % 9 == 5 else decision(list(Action)[number % 5], number=number)
            opened.append_sync(made)
            if number % 11 == 3:
                notary.sign()
    return path


def log_key(path):
    """The log's own."""
    from audit.log_key import need_log_key
    from audit.query import identity

    return need_log_key(path, identity(f"sqlite:///{path}"), None)


def copied(original, tmp_path):
    """A copy with its key."""
    path = tmp_path / "ledger.db"
    shutil.copy(original, path)
    shutil.copy(default_key_file(original), default_key_file(path))
    return path


def both(path, **options):
    """What one process finds, once three found the same."""
    alone, together = check(path, jobs=1, **options), check(path, jobs=3, **options)
    assert (alone.processes, together.processes) == (1, 3)
    assert replace(alone, seconds=0) == replace(together, seconds=0, processes=1)
    return alone


@pytest.mark.usefixtures("many")
def test_three_processes_report_what_one_does(original, tmp_path):
    """Of a sound ledger, and of ones that were tampered with in many places."""
    path = copied(original, tmp_path)
    options = {"anchors": [FileAnchor(original.with_suffix(".anchor"))], "log_keys": [log_key(original).public]}
    seen = []
    report = both(path, **options)
    assert (report.exit_code, report.size, report.checked["checkpoints"]) == (0, 60, 5)
    check(path, jobs=3, progress=lambda *done: seen.append(done))
    assert seen == [(stop, 60) for stop in (8, 16, 24, *range(25, 61))]
    pristine = path.read_bytes()
    for statements, code in (
        (("UPDATE entry SET tenant = 'x' WHERE idx IN (3, 21, 22, 50)", "DELETE FROM term WHERE idx = 40"), 2),
        (("UPDATE payload SET ciphertext = x'00' WHERE idx IN (9, 33)", "DROP INDEX ix_entry_action"), 2),
        (("DELETE FROM entry WHERE idx = 20", "DELETE FROM term WHERE idx = 20", "DELETE FROM payload WHERE idx = 20"), 2),
        (("DELETE FROM entry WHERE idx >= 30", "DELETE FROM term WHERE idx >= 30", "DELETE FROM payload WHERE idx >= 30"), 5),
        (("UPDATE entry SET body = NULL WHERE idx = 1",), 2),
        (("UPDATE head SET frontier = zeroblob(length(frontier))",), 2),
        (("UPDATE head SET size = 4611686018427387904",), 2),
    ):
        tamper(path, *statements)
        assert both(path, **options).exit_code == code, statements
        restore(path, pristine)


@pytest.mark.usefixtures("many")
def test_without_a_head_one_process_does_it_all(original, tmp_path):
    """Whether all see the same could not be known."""
    path = copied(original, tmp_path)
    tamper(path, "DELETE FROM head")
    report = check(path, jobs=3)
    assert (report.processes, report.exit_code) == (1, 2)


@pytest.mark.usefixtures("many")
def test_a_checkpoint_behind_a_thousand_problems_is_still_told(original, tmp_path):
    """The exit code of a rollback does not depend on what else is wrong."""
    path = copied(original, tmp_path)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION SELECT i + 1 FROM n WHERE i < 1200) "
    tamper(
        path, "DELETE FROM entry WHERE idx > 20", f"{numbers} INSERT INTO payload SELECT 3, 'x' || i, '', x'', x'', x'' FROM n"
    )
    options = {"anchors": [FileAnchor(original.with_suffix(".anchor"))], "log_keys": [log_key(original).public]}
    report = both(path, **options)
    assert report.problem_count > 1200
    assert report.exit_code == 5


@pytest.mark.usefixtures("many")
def test_all_see_one_state_of_a_ledger_that_is_written(url):
    """However often a writer commits meanwhile."""
    stop = threading.Event()
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        base = decision()

        def write():
            while not stop.is_set():
                opened.append_sync(replace(base, id=uuid4()))

        thread = threading.Thread(target=write)
        thread.start()
        try:
            reports = [verify(url, jobs=2) for _ in range(4)]
        finally:
            stop.set()
            thread.join()
    assert all(report.ok for report in reports), reports
    assert [report.size for report in reports] == sorted(report.size for report in reports)


@pytest.mark.usefixtures("many")
def test_a_process_that_is_killed_is_an_error_and_no_verdict(original, monkeypatch):
    """Nobody is told that all is well."""
    from audit.verifier import pool

    monkeypatch.setattr(pool, "_PROGRAM", "import sys; sys.exit(9)")
    with pytest.raises(LedgerError, match="ended before its time"):
        check(original, jobs=2)


def test_what_cannot_be_told_to_another_process_is_done_by_one(original, monkeypatch):
    """Such as a function that compares images, made on the spot."""
    monkeypatch.setattr(verify_module, "MANY", 0)
    report = check(original, jobs=2, fits=lambda _image, _fingerprint: True)
    assert (report.ok, report.processes) == (True, 1)
    assert report.checked["fingerprints_compared"] == 6


def test_nodes_of_the_tree_in_one_step():
    """A perfect tree's root, added at once, is what its leaves make one by one."""
    leaves = [bytes([number]) * 32 for number in range(48)]
    for start, count in ((0, 16), (16, 16), (32, 8), (40, 4), (44, 1)):
        before = merkle.extend((), 0, leaves[:start])
        node = merkle.perfect_root(leaves[start : start + count])
        assert merkle.add_node(*before, node, count) == merkle.extend((), 0, leaves[: start + count])


def test_text_that_is_no_unicode_is_told(original, tmp_path):
    """The quick statements fail on it, and the slow ones name the entry."""
    path = copied(original, tmp_path)
    for statement, what in (
        ("UPDATE entry SET tenant = CAST(x'ff41' AS TEXT) WHERE idx = 13", "column"),
        ("UPDATE term SET value = CAST(x'ff41' AS TEXT) WHERE idx = 13 AND name = 'rule'", "term"),
    ):
        pristine = path.read_bytes()
        tamper(path, statement)
        assert {(one.idx, one.what) for one in check(path).problems} == {(13, what)}
        restore(path, pristine)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM entry").fetchone()[0] == 60
