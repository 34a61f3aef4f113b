"""The catalogue of a bank: what it keeps, its chain of changes, and what it refuses."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from guard.errors import InputError, ModelError
from guard.matching import catalogue_file
from guard.matching.catalogue import Catalogue, genesis
from guard.matching.records import record, work_from
from guard.matching.works import Fingerprint, Work
from guard.types import Modality
from tests.matching.works import hashed, many, print_of

FULL = Work(
    "full", "Title\nof two lines", Modality.IMAGE, "Owner", "Licence", "Terms", "contact@example.org",
    date(2026, 1, 1), date(2030, 12, 31), ("CN", "DE"), b"\xff\xd8\xff\xe0thumbnail",
    (Fingerprint("pdq", print_of(1), "whole"), Fingerprint("pdq", print_of(2), "trimmed"), Fingerprint("dhash", print_of(3))),
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bank" / "catalogue.db"


def opened(path: Path) -> Catalogue:
    return Catalogue.open(path, kind="protected")


def add(catalogue: Catalogue, *works: Work, **more: object) -> None:
    assert len(works) == catalogue.add([(work, b"") for work in works], actor="ann", source="test", **more).added  # type: ignore[arg-type]


def test_everything_of_a_work_comes_back(path: Path) -> None:
    """Every field, the order of fingerprints, and the thumbnail."""
    add(opened(path), FULL)
    found = Catalogue.open(path).find("full")
    assert found is not None
    assert found.work == FULL
    assert Catalogue.open(path).work(found.number).work == FULL  # type: ignore[union-attr]
    assert work_from(record(FULL)) == FULL


def test_only_the_owner_may_read_it(path: Path) -> None:
    """Like the ledger's key: nobody else gets the folder, the file or its companions."""
    catalogue = opened(path)
    add(catalogue, FULL)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_every_change_has_its_place_in_the_chain(path: Path) -> None:
    """The digest moves with each change, names the state it was the digest of, and can be computed again."""
    catalogue = opened(path)
    assert genesis("protected") == catalogue.state().head
    heads = [catalogue.state().head]
    for work in many(3):
        add(catalogue, work)
        heads.append(catalogue.state().head)
    assert catalogue.retire(["w1"], actor="ann") == 1
    heads.append(catalogue.state().head)
    assert len(set(heads)) == 5
    assert [catalogue.state_of(head).seq for head in heads] == [0, 1, 2, 3, 4]  # type: ignore[union-attr]
    assert heads[-1] == catalogue.rehash()
    assert catalogue.state_of(bytes(32)) is None
    assert catalogue.state_from(heads[2].hex()[:12]) == catalogue.state_of(heads[2])
    assert catalogue.state_from("zz") is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE work SET title = 'x' WHERE number = 1",
        "UPDATE work SET owner = 'x' WHERE number = 2",
        "DELETE FROM work WHERE number = 1",
    ],
)
def test_a_work_that_was_changed_behind_its_back_shows(path: Path, statement: str) -> None:
    """Its digest is in the chain."""
    catalogue = opened(path)
    add(catalogue, *many(3))
    with sqlite3.connect(path) as other:
        other.execute(statement)
    other.close()
    with pytest.raises(ModelError, match="damaged"):
        catalogue.rehash()


@pytest.mark.parametrize("table", ["change", "batch", "fingerprint"])
def test_history_cannot_be_rewritten_by_mistake(path: Path, table: str) -> None:
    """The tables refuse it."""
    add(opened(path), *many(2))
    other = sqlite3.connect(path)
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET rowid = rowid + 9"):
        with pytest.raises(sqlite3.IntegrityError, match="cannot be changed"):
            other.execute(statement)
    other.close()


def test_the_same_work_again_is_passed_over(path: Path) -> None:
    """Another work of its id is not: it is named by its place."""
    catalogue = opened(path)
    add(catalogue, *many(3))
    head = catalogue.state().head
    outcome = catalogue.add([(hashed("w0", 0), b""), (hashed("w1", 99), b""), (hashed("w2", 2), b"")])
    assert (outcome.added, outcome.same, outcome.taken) == (0, 2, [1])
    assert head == catalogue.state().head


def test_a_file_is_known_by_what_a_work_was_made_from(path: Path) -> None:
    """Even when another version would fingerprint it differently."""
    catalogue = opened(path)
    assert catalogue.add([(hashed("a", 1), b"file")]).added == 1
    assert catalogue.add([(hashed("a", 2), b"file")]).same == 1
    assert catalogue.add([(hashed("a", 2), b"other")]).taken == [0]


def test_one_batch_may_not_name_an_id_twice(path: Path) -> None:
    """The second is refused, unless it is the same work."""
    outcome = opened(path).add([(hashed("a", 1), b""), (hashed("a", 1), b""), (hashed("a", 2), b"")])
    assert (outcome.added, outcome.same, outcome.taken) == (1, 1, [2])


def test_a_retired_work_stays_in_history(path: Path) -> None:
    """It is found by its id, and where it was registered; the id may be given again, under a new number."""
    catalogue = opened(path)
    add(catalogue, *many(3))
    before = catalogue.state()
    assert catalogue.retire(["w1", "w1", "nobody"]) == 1
    assert catalogue.retire(["w1"]) == 0
    gone = catalogue.find("w1")
    assert gone is not None
    assert gone.retired == 4
    assert [one.work.id for one in catalogue.works()] == ["w0", "w2"]
    assert [one.work.id for one in catalogue.works(before)] == ["w0", "w1", "w2"]
    assert catalogue.add([(hashed("w1", 1), b"")]).retired == 1
    add(catalogue, hashed("w1", 1), again=True)
    again = catalogue.find("w1")
    assert again is not None
    assert (again.number, again.retired) == (4, None)
    assert catalogue.find("w1", before).number == 2  # type: ignore[union-attr]
    assert catalogue.rehash() == catalogue.state().head


def test_works_are_listed_in_pages_and_searched(path: Path) -> None:
    """By number; a search looks into id, title and owner."""
    catalogue = opened(path)
    add(catalogue, *many(5), hashed("x", 9, owner="Kestrel Quay"))
    assert [one.number for one in catalogue.works(limit=2)] == [1, 2]
    assert [one.number for one in catalogue.works(after=2)] == [3, 4, 5, 6]
    assert [one.work.id for one in catalogue.works(query="kestrel")] == ["x"]
    assert [one.work.id for one in catalogue.works(query="WORK W3")] == ["w3"]
    assert list(catalogue.works(query="%")) == []


def test_entries_are_those_of_works_that_are_still_there(path: Path) -> None:
    """Between two states, of one method."""
    catalogue = opened(path)
    start = catalogue.state()
    add(catalogue, FULL, *many(2))
    middle = catalogue.state()
    add(catalogue, *many(2, start=2))
    catalogue.retire(["w0", "w2"])
    end = catalogue.state()
    assert catalogue.methods() == ("dhash", "pdq")
    assert [number for number, _ in catalogue.entries("pdq", start, end)] == [1, 1, 3, 5]
    assert [number for number, _ in catalogue.entries("dhash", start, end)] == [1]
    assert [(5, print_of(3))] == list(catalogue.entries("pdq", middle, end))
    assert [number for number, _ in catalogue.entries("pdq", start, middle)] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("work", "found"),
    [
        (hashed(""), "without id"),
        (hashed(" "), "without id"),
        (hashed("a" * 201), "201 characters"),
        (hashed("a\x1b[31m"), "control characters"),
        (hashed("a\ud800"), "control characters"),
        (hashed("a", valid_from=date(2026, 2, 1), valid_until=date(2026, 1, 1)), "before valid_from"),
        (hashed("a", territory=("China",)), "territory"),
        (hashed("a", thumbnail=b"GIF89a"), "neither JPEG nor PNG"),
        (hashed("a", thumbnail=b"\xff\xd8\xff" + bytes(200_000)), "thumbnail of"),
        (Work("a", "A"), "0 fingerprints"),
        (Work("a", "A", fingerprints=(Fingerprint("pdq", b"x"),) * 1025), "1025 fingerprints"),
        (Work("a", "A", fingerprints=(Fingerprint("md5", bytes(16)),)), "method 'md5'"),
        (Work("a", "A", fingerprints=(Fingerprint("pdq", bytes(31)),)), "31 bytes"),
        (Work("a", "A", Modality.TEXT, fingerprints=(Fingerprint("pdq", bytes(32)),)), "of a work of text"),
    ],
)
def test_what_could_not_be_kept_or_shown_is_refused(path: Path, work: Work, found: str) -> None:
    """With the whole batch: nothing of it is registered."""
    catalogue = opened(path)
    with pytest.raises(InputError, match=found):
        catalogue.add([(hashed("good"), b""), (work, b"")])
    assert catalogue.state().size == 0


def test_what_is_no_catalogue_is_refused(path: Path) -> None:
    """A missing file, another file, another version, an unknown kind."""
    with pytest.raises(ModelError, match="no bank"):
        Catalogue.open(path)
    with pytest.raises(InputError, match="kind of bank 'forbidden'"):
        Catalogue.open(path, kind="forbidden")
    assert not path.exists()
    opened(path).close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE bank SET format = 9")
    other.close()
    with pytest.raises(ModelError, match="format 9, expected 1"):
        Catalogue.open(path)
    path.write_bytes(b"something else, and long enough to be looked at" * 100)
    with pytest.raises(ModelError, match="not a database"):
        Catalogue.open(path)


def test_a_bank_is_whole_once_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens it while another begins it finds no bank, or a whole one; of those who begin it at once all have the same."""
    begin, there = catalogue_file.begin_tables, []

    def look(connection: sqlite3.Connection, kind: str) -> None:
        there.append(path.exists())
        begin(connection, kind)

    monkeypatch.setattr(catalogue_file, "begin_tables", look)
    opened(path).close()
    assert there == [False]
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    path.unlink()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: (opened(path), number), range(8)))
    for catalogue, number in made:
        add(catalogue, hashed(f"of-{number}", number))
    assert {catalogue.state().size for catalogue, _ in made} == {8}
    assert not list(path.parent.glob(".begun-*"))


def test_threads_may_add_at_once(path: Path) -> None:
    """No change is lost, and the chain holds."""
    catalogue = opened(path)
    threads = [
        threading.Thread(target=lambda start=start: [add(catalogue, work) for work in many(20, start)]) for start in (0, 20, 40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert catalogue.state().size == 60
    assert catalogue.rehash() == catalogue.state().head


def test_a_forked_child_opens_its_own_connection(path: Path) -> None:
    """SQLite's connections do not survive a fork."""
    catalogue = opened(path)
    add(catalogue, hashed("a"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            add(catalogue, hashed("b", 1))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert catalogue.state().size == 2
