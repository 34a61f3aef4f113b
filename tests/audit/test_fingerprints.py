"""Fingerprints of released images: kept sealed beside the content, gone with it, and gained by ledgers of before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledger_examples import DOCUMENT, REVISION, decision, picture, text

from audit.fingerprints import kept_fingerprints, read_fingerprints
from audit.ledger import open_ledger
from audit.verify import verify
from guard.errors import LedgerError
from guard.types import Action, Request


@pytest.fixture
def three(ledger, url):
    """Three images of two subjects from entry 2 on, with a text and a withheld image between them."""
    ledger.append_sync(picture(1, b"\x89PNG one", subject="a"))
    ledger.append_sync(decision(Action.ALLOW, number=2))
    ledger.append_sync(picture(3, b"\x89PNG two", subject="b"))
    withheld = picture(4, b"\x89PNG no", subject="b")
    ledger.append_sync(decision(Action.BLOCK, number=4, content=withheld.content, context=withheld.context, fingerprint=b"no"))
    ledger.append_sync(picture(5, b"\x89PNG three", subject="a"))
    return url


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def drop(path: Path) -> None:
    """A ledger as a version made it that knew no fingerprints."""
    change(path, "DROP TABLE fingerprint")


def test_they_are_read_on_from_where_one_stopped(three):
    """Of released images alone, by entry."""
    first = read_fingerprints(three, limit=2)
    assert first.rows == ((2, b"print of \x89PNG one"), (4, b"print of \x89PNG two"))
    assert (first.last, first.more) == (4, True)
    rest = read_fingerprints(three, first.last, limit=2)
    assert (rest.rows, rest.last, rest.more) == (((6, b"print of \x89PNG three"),), 6, False)
    assert read_fingerprints(three, rest.last).rows == ()
    assert kept_fingerprints(three) == {2, 4, 6}
    assert kept_fingerprints(three, [1, 2, 3, 6, 99]) == {2, 6}


def test_nothing_of_them_lies_open_and_nothing_is_hashed(three, path):
    """Neither in the file nor in a body: they show roughly what the image shows."""
    files = b"".join(part.read_bytes() for part in path.parent.glob("ledger.db*"))
    assert b"print of" not in files
    with closing(sqlite3.connect(path)) as connection:
        bodies = b"".join(body for (body,) in connection.execute("SELECT body FROM entry"))
    assert b"fingerprint" not in bodies
    assert "print of" not in repr(picture(1))


def test_what_was_erased_cannot_be_read_any_more(three, path):
    """By its row, or by its subject's key; the log stays sound, but for what else the key sealed."""
    change(path, "DELETE FROM fingerprint WHERE idx = 4")
    assert [idx for idx, _ in read_fingerprints(three).rows] == [2, 6]
    assert kept_fingerprints(three) == {2, 6}
    assert verify(three).ok
    change(path, "DELETE FROM subject_key WHERE subject = 'a'")
    assert read_fingerprints(three).rows == ()
    assert kept_fingerprints(three) == frozenset()
    assert (2, "fingerprint") in {(one.idx, one.what) for one in verify(three).problems}
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="cannot be changed"):
        connection.execute("UPDATE fingerprint SET sealed = x'00'")


def test_a_row_that_was_moved_belongs_to_no_entry(three, path):
    """It opens for its decision alone; the entry it lies at is another's."""
    change(path, "DELETE FROM fingerprint WHERE idx = 6")
    change(path, "INSERT INTO fingerprint SELECT 6, decision, key, sealed FROM fingerprint WHERE idx = 2")
    assert kept_fingerprints(three, [2, 6]) == {2}
    assert [one.idx for one in verify(three).problems] == [6]


def test_a_ledger_of_before_is_sound_and_gains_them(url, path):
    """Readers do without the table; the writer adds it with its trigger, and entries stay as they are."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        opened.append_sync(picture(1))
    drop(path)
    before = verify(url)
    assert before.ok
    assert "fingerprints" not in before.checked
    assert read_fingerprints(url).rows == ()
    assert kept_fingerprints(url) == frozenset()
    for _ in range(2):
        with open_ledger(url) as opened:
            opened.append_sync(picture(2))
    after = verify(url)
    assert (after.ok, after.size, after.checked["fingerprints"]) == (True, before.size + 2, 2)
    assert [idx for idx, _ in read_fingerprints(url).rows] == [3, 4]


def test_a_ledger_of_before_is_not_changed_when_it_cannot_be_opened(url, path, tmp_path):
    """A wrong key adds nothing; a database without other tables is no ledger."""
    open_ledger(url).close()
    drop(path)
    open_ledger(f"sqlite:///{tmp_path / 'other.db'}").close()
    with pytest.raises(LedgerError, match="is not the one of"):
        open_ledger(url, key_file=tmp_path / "other.db.key")
    with closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name LIKE '%fingerprint%'").fetchall()
    change(path, "DROP TABLE term")
    with pytest.raises(LedgerError, match=r"without the tables term, expected"):
        open_ledger(url)


def test_without_the_key_they_are_not_read(three, tmp_path, path):
    """Nor with another ledger's."""
    (tmp_path / "ledger.db.key").rename(tmp_path / "kept.key")
    with pytest.raises(LedgerError, match="the master key is not here"):
        read_fingerprints(three)
    assert len(read_fingerprints(three, key_file=tmp_path / "kept.key").rows) == 3


def test_they_are_compared_with_the_stored_images_on_request(three):
    """By whoever knows how they are made: the ledger hands over both."""
    seen = []
    report = verify(three, fits=lambda image, print_: not seen.append((image, print_)) and image != b"\x89PNG two")
    assert min(seen) == (b"\x89PNG one", b"print of \x89PNG one")
    assert report.checked["fingerprints_compared"] == 3
    assert [(one.idx, one.what, one.found) for one in report.problems] == [(4, "fingerprint", "a fingerprint of another image")]


def test_a_fingerprint_is_sealed_anew_with_its_image(ledger, url, path):
    """When another process destroyed the subject's key meanwhile."""
    ledger.append_sync(picture(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM subject_key")
    ledger.append_sync(picture(2))
    assert [idx for idx, _ in read_fingerprints(url).rows] == [3]


def test_a_text_has_none(ledger, url):
    """Whatever it was given: the verifier says so."""
    given = text("Hello", Request("r", "acme", "k", "s"))
    ledger.append_sync(decision(Action.ALLOW, content=given, released=given, fingerprint=b"x"))
    assert [one.what for one in verify(url).problems] == ["fingerprint"]
