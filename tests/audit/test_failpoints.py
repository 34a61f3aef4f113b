"""A process that is killed at any place of any work leaves a ledger that is whole, and the work can be done again."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from crash_process import NOW
from crashing import Record
from ledger_examples import DOCUMENT, REVISION, decision, picture

from audit import failpoints
from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.erasure import erase
from audit.keys import default_key_file
from audit.ledger import open_ledger
from audit.log_key import need_log_key
from audit.notary import Notary
from audit.query import reading, show
from audit.retention import prune
from audit.rotation import rotate_key
from audit.verify import verify
from guard.types import Action

ROOT = Path(__file__).parents[2]
SECRET_WORDS = b"the very private words of person seven"


def points(work: str) -> list[str]:
    return [name for name in failpoints.POINTS if name.startswith(f"{work}:")]


@pytest.fixture
def prepared(url) -> Record:
    """A ledger with old decisions, some of a person to be erased."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(12):
            subject = "person-7" if number % 3 == 0 else f"another-{number}"
            made = picture if number == 6 else decision
            more = {} if number == 6 else {"data": f"{SECRET_WORDS.decode()} {number}", "action": Action.ALLOW}
            time = NOW - timedelta(days=1000 if number < 6 else 1)
            opened.append_sync(made(number=number, subject=subject, time=time, **more))
    report = verify(url)
    return Record(url, heads={report.size: report.root})


def die(nursery, record, job, point, nth=1, **order):
    """Run a job until it kills itself at a place; then all that was promised has to hold."""
    child = nursery.start(job, record.url, point=point, nth=nth, **order)
    child.wait()
    assert child.lines("died"), child.lines()[-3:]
    record.note([child])
    return child


def test_every_place_is_named_once_and_no_module_sets_the_hook():
    """Each name is passed exactly once; nothing in the program imports `hook`, or the module that one would set it in."""
    passed = []
    for folder in ("audit", "guard", "serving", "terminal", "policies", "generators", "evaluation"):
        for file in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(file.read_text("utf-8"))
            if file.name == "failpoints.py":
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                    passed.append(ast.literal_eval(node.args[0]))
                if isinstance(node, ast.ImportFrom) and node.module == "audit.failpoints":
                    assert [alias.name for alias in node.names] == ["failpoint"], file
                if isinstance(node, ast.Import):
                    assert "audit.failpoints" not in {alias.name for alias in node.names}, file
    assert sorted(passed) == sorted(failpoints.POINTS)
    assert failpoints.hook is None


def test_an_environment_or_a_setting_does_not_lead_to_a_place(ledger, monkeypatch):
    """What the module reads is its own variable alone."""
    tree = ast.parse(Path(failpoints.__file__).read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "collections.abc"}
    for name in ("FAILPOINT", "GENGUARD_FAILPOINT", "GENGUARD_FAILPOINTS"):
        monkeypatch.setenv(name, "append: committed")
    assert ledger.append_sync(decision()).index == 2


@pytest.mark.parametrize("point", points("begin"))
def test_a_ledger_that_dies_while_it_begins_can_begin_again(nursery, path, url, point):
    """Its key may be there already: the next process uses it."""
    child = nursery.start("begin", url, point=point)
    child.wait()
    assert child.lines("died")
    key = default_key_file(path).read_bytes()
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
    assert default_key_file(path).read_bytes() == key
    assert Record(url).check().size == 3


@pytest.mark.parametrize("nth", [5, pytest.param(1, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("point", points("append"))
def test_a_writer_that_dies_at_any_place_of_a_commit(nursery, url, point, nth):
    """Under load, and at the first entry, which is the policy's: acknowledged is stored, nothing is half there."""
    needs_a_key = point in {"append: keys in", "append: payloads in"} and nth == 1
    record = Record(url)
    for _ in range(2):
        die(nursery, record, "write", point, nth=nth + needs_a_key, callers=4)
        if nth == 1 and not record.heads:
            with open_ledger(url) as opened:  # its policy may not be in force yet
                opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        record.check()


@pytest.mark.parametrize("point", points("sign"))
def test_a_notary_that_dies_goes_on_from_the_anchor(nursery, prepared, tmp_path, point):
    """What was anchored holds; what was not may be signed again."""
    anchor = FileAnchor(tmp_path / "anchor.txt")
    die(nursery, prepared, "sign", point, nth=2, anchor=str(anchor.path), log_key=str(tmp_path / "log.key"))
    prepared.check()
    with open_ledger(prepared.url) as opened:
        key = need_log_key(opened.store, opened.identity, tmp_path / "log.key")
        heads = [Checkpoint.verified(note, [key.public]) for note in anchor.notes()]
        assert [head.size for head in heads] == sorted({head.size for head in heads})
        prepared.heads |= {head.size: head.root.hex() for head in heads}
        assert Notary(opened.reader, opened.store, key, (anchor,)).sign()
    prepared.check()
    report = verify(prepared.url, anchors=[anchor], log_keys=[key.public])
    assert (report.exit_code, report.checked["checkpoints"]) == (0, len(heads) + 1)


@pytest.mark.parametrize("point", points("erase"))
def test_an_erasure_that_dies_is_whole_or_was_not(nursery, prepared, point):
    """The key and what it sealed go together, with the entry that says so."""
    die(nursery, prepared, "forget", point)
    gone = point == "erase: recorded"
    prepared.check(3 if gone else 0)
    assert bool(show(prepared.url, 2, reveal=True).payloads[0].data) is not gone
    with open_ledger(prepared.url) as opened:
        assert erase(opened, "person-7", actor="ann", reason="asked for").again is gone
    prepared.check(3)


@pytest.mark.parametrize("point", [*points("erase"), *points("scrub")])
def test_an_erasure_that_dies_is_overwritten_when_it_is_repeated(nursery, prepared, path, point):
    """Afterwards the bytes are nowhere."""
    with reading(prepared.url) as connection:
        secrets = [
            bytes(one)
            for one in connection.exec_driver_sql("SELECT wrapped FROM subject_key WHERE subject = 'person-7'").scalars()
        ]
    if point == "scrub: keys deleted":
        with open_ledger(prepared.url) as opened:
            erase(opened, "person-7", actor="ann", reason="asked for")  # again: keys are written anew in any case
    die(nursery, prepared, "forget", point)
    gone = point != "erase: content deleted"
    prepared.check(3 if gone else 0)
    assert bool(show(prepared.url, 2, reveal=True).payloads[0].data) is not gone
    with open_ledger(prepared.url) as opened:
        done = erase(opened, "person-7", actor="ann", reason="asked for")
    assert (done.again, done.trouble) == (gone, "")
    prepared.check(3)
    held = b"".join(file.read_bytes() for file in path.parent.glob("ledger.db*"))
    assert len(secrets) == 1
    assert not any(secret in held for secret in [*secrets, SECRET_WORDS])


@pytest.mark.parametrize("point", points("prune"))
def test_a_pruning_that_dies_is_whole_or_was_not(nursery, prepared, point):
    """The triggers are there in either case, and the rest goes when it is repeated."""
    die(nursery, prepared, "drop", point)
    done = point == "prune: recorded"
    prepared.check(3 if done else 0)
    with open_ledger(prepared.url) as opened:
        assert prune(opened, 365, actor="ann", now=NOW).bodies == (0 if done else 6)
    assert prepared.check(3).checked["pruned"] == 6


@pytest.mark.parametrize("point", points("rotate"))
def test_a_rotation_that_dies_leaves_a_key_that_opens_everything(nursery, prepared, path, point):
    """The old one or the new one; what lies about is made good by the next."""
    before = default_key_file(path).read_bytes()
    die(nursery, prepared, "rotate", point)
    report = prepared.check()
    assert report.checked["payloads_opened"] == report.checked["payloads"]
    assert (default_key_file(path).read_bytes() != before) is (point in {"rotate: recorded", "rotate: settled"})
    with open_ledger(prepared.url) as opened:
        rotate_key(opened, actor="ann")
    report = prepared.check()
    assert report.checked["payloads_opened"] == report.checked["payloads"]
    assert not list(path.parent.glob("*.next"))


@pytest.mark.parametrize("point", points("export"))
def test_an_export_that_dies_is_no_file_without_its_entry(nursery, prepared, tmp_path, point):
    """An entry without its file says that somebody was about to have it; the contrary would hide it."""
    file = tmp_path / "all.csv"
    die(nursery, prepared, "hand_over", point, file=str(file))
    prepared.check()
    with reading(prepared.url) as connection:
        entries = connection.exec_driver_sql("SELECT count(*) FROM entry WHERE kind = 'export'").scalar_one()
    assert (entries, file.exists()) == {
        "export: written": (0, False),
        "export: recorded": (1, False),
        "export: named": (1, True),
    }[point]
