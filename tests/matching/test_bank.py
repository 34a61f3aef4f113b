"""Banks: snapshots that follow their changes, saved indexes, history by digest, and where banks are found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.errors import InputError, ModelError
from guard.matching import bank as banks
from guard.matching.bank import Bank
from guard.matching.hamming import HammingIndex
from guard.matching.images import REGISTERED
from guard.matching.snapshot import Snapshot
from guard.matching.works import Fingerprint, Work
from tests.matching.works import hashed, many, print_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENGUARD_BANKS", str(tmp_path / "banks"))


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank.open(tmp_path / "banks" / "mine", kind="protected")
    yield made
    made.close()


def found(snapshot: Snapshot, seed: int) -> list[str]:
    """Ids of works that have this very hash."""
    index = snapshot.indexes.get("pdq")
    if index is None:
        return []
    assert isinstance(index, HammingIndex)
    return [snapshot.works[hit.number].id for hit in index.search([print_of(seed)], 0)]


# --- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_follows_changes_and_an_old_one_stays(bank: Bank) -> None:
    """Works come and go; whoever holds an earlier snapshot sees it as it was."""
    assert bank.snapshot().indexes == {}
    bank.add(many(3))
    first = bank.snapshot()
    bank.retire(["w1"])
    bank.add([hashed("new", 77)])
    second = bank.snapshot()
    assert (found(first, 1), found(second, 1)) == (["w1"], [])
    assert (found(first, 77), found(second, 77)) == ([], ["new"])
    assert (first.size, second.size) == (3, 3)
    assert first.digest != second.digest == bank.digest
    assert [first.works[number].id for number in first.works] == ["w0", "w1", "w2"]
    assert [work.id for work in second.works.values()] == ["w0", "w2", "new"]
    with pytest.raises(KeyError):
        second.works[2]
    with pytest.raises(KeyError):
        first.works[4]


def test_a_snapshot_is_the_same_object_while_nothing_changes(bank: Bank) -> None:
    """It costs a look at the database's version."""
    bank.add(many(3))
    assert bank.snapshot() is bank.snapshot()
    bank.add(many(3))
    assert bank.snapshot() is bank.snapshot()


def test_a_method_without_works_is_absent(bank: Bank) -> None:
    """Also after its last work was retired."""
    bank.add([Work("a", "A", fingerprints=(Fingerprint("dhash", print_of(5)),)), hashed("b")])
    assert {"dhash", "pdq"} == set(bank.snapshot().indexes)
    bank.retire(["a"])
    assert {"pdq"} == set(bank.snapshot().indexes)


def test_another_objects_changes_are_seen(bank: Bank) -> None:
    """As another process would make them: through the database alone."""
    other = Bank.open(bank.folder)
    bank.snapshot()
    other.add(many(2))
    assert found(bank.snapshot(), 1) == ["w1"]
    assert other.snapshot().digest == bank.snapshot().digest


def test_a_process_serves_snapshots_while_another_imports(bank: Bank) -> None:
    """Every snapshot is whole: as many works as it says, the last of them found."""
    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.matching.reader_process", str(bank.folder), "400"], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"ready\n"
    for start in range(0, 400, 20):
        bank.add(many(20, start))
        if start == 200:
            bank.tidy()
    with reader:
        assert reader.wait(60) == 0


def test_threads_share_a_bank(bank: Bank) -> None:
    """Some match while one adds."""
    wrong: list[object] = []

    def match() -> None:
        for _ in range(60):
            snapshot = bank.snapshot()
            if snapshot.size and found(snapshot, snapshot.size - 1) != [f"w{snapshot.size - 1}"]:
                wrong.append(snapshot.size)

    threads = [threading.Thread(target=match) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(0, 100, 5):
        bank.add(many(5, start))
    for thread in threads:
        thread.join()
    assert not wrong


# --- saved indexes -----------------------------------------------------------------------------------------------------


def saved(bank: Bank) -> list[Path]:
    assert bank.folder is not None
    return sorted((bank.folder / "indexes").glob("*"))


@pytest.fixture
def large(bank: Bank) -> Bank:
    """A bank whose index is worth saving."""
    bank.add([hashed(f"w{number}", number) for number in range(1200)])
    bank.snapshot()
    bank.tidy()
    return bank


def test_an_index_is_saved_and_opened_again(large: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes since then are put on top."""
    (folder,) = saved(large)
    assert folder.name.startswith("pdq-0000001200-")
    large.add([hashed("late", 5000)])
    large.retire(["w7"])
    opened: list[Path] = []
    original = HammingIndex.open.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(
        HammingIndex, "open", classmethod(lambda cls, method, path: opened.append(path) or original(cls, method, path))
    )
    snapshot = Bank.open(large.folder).snapshot()
    assert [folder] == opened
    assert (snapshot.size, len(snapshot.indexes["pdq"])) == (1200, 1200)
    assert (found(snapshot, 5000), found(snapshot, 7), found(snapshot, 8)) == (["late"], [], ["w8"])


@pytest.mark.parametrize("damage", ["cut", "emptied", "deleted", "foreign"])
def test_an_index_that_cannot_be_used_is_built_again(large: Bank, damage: str) -> None:
    """From the catalogue, which is the truth."""
    (folder,) = saved(large)
    files = [one for one in folder.rglob("*") if one.is_file()]
    file = max(files, key=lambda one: one.stat().st_size)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "emptied":
        for one in files:
            one.unlink()
    elif damage == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(folder.with_name(folder.name[:-16] + "0" * 16))
    snapshot = Bank.open(large.folder).snapshot()
    assert found(snapshot, 1199) == ["w1199"]
    assert folder in saved(large)


def test_indexes_of_methods_with_like_names_are_kept_apart(large: Bank) -> None:
    """`pdq-sharp` is not an index of `pdq`."""
    (folder,) = saved(large)
    other = folder.with_name(folder.name.replace("pdq-", "pdq-sharp-"))
    other.mkdir()
    assert Bank.open(large.folder).snapshot().size == 1200
    assert other.is_dir()
    assert [folder] == large._saved("pdq")


def test_saving_removes_what_is_older_and_left_over(large: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder a method remains; whoever has mapped an older one keeps it."""
    early = Bank.open(large.folder).snapshot()
    large.add([hashed(f"x{number}", number + 5000) for number in range(2500)])
    monkeypatch.setattr(HammingIndex, "pending", 2500)
    large.tidy()
    (folder,) = saved(large)
    assert "-0000003700-" in folder.name
    assert found(early, 5) == ["w5"]


def test_a_catalogue_that_was_put_back_is_followed(bank: Bank, tmp_path: Path) -> None:
    """After a backup was restored, a running process goes on with its works and not with those it remembers."""
    assert bank.folder is not None
    bank.add(many(3))
    backup = tmp_path / "backup"
    other = Bank.open(bank.folder)
    with_backup = bank.folder / "catalogue.db"
    other.catalogue._writer.execute("VACUUM INTO ?", (str(backup),))
    bank.add([hashed("later", 50)])
    assert found(bank.snapshot(), 50) == ["later"]
    for file in bank.folder.glob("catalogue.db*"):
        file.unlink()
    shutil.copy(backup, with_backup)
    assert (found(bank.snapshot(), 50), found(bank.snapshot(), 2)) == ([], ["w2"])
    with_backup.unlink()
    with pytest.raises(ModelError, match="no bank"):
        bank.snapshot()


# --- history -----------------------------------------------------------------------------------------------------------


def test_a_digest_names_what_was_registered_then(bank: Bank) -> None:
    """So a decision's digest answers whether a work was registered when it was made."""
    bank.add(many(2))
    first = bank.digest
    bank.add([hashed("late", 9)])
    bank.retire(["w0"])
    second = bank.digest
    assert [one.work.id for one in bank.registered(first)] == ["w0", "w1"]
    assert [one.work.id for one in bank.registered(second)] == ["w1", "late"]
    answers = [bank.was_registered(work, digest) for digest in (first, second) for work in ("w0", "w1", "late", "nobody")]
    assert answers == [True, True, False, False, False, True, True, False]
    with pytest.raises(InputError, match="never had digest"):
        bank.was_registered("w0", "ab" * 32)


def test_the_same_works_in_memory_have_the_same_digest() -> None:
    """In the same order, whenever and by whomever they were put together."""
    one, other = Bank.memory("one"), Bank.memory("other")
    one.add(many(4))
    other.add(list(many(2)), actor="ann")
    other.add(list(many(2, 2)), actor="bob")
    assert one.digest != other.digest
    again = Bank.memory("again")
    again.add(many(4))
    assert one.digest == again.digest != Bank.memory("again", "cleared").digest


# --- where banks are ---------------------------------------------------------------------------------------------------


def test_a_bank_comes_back_from_its_file(tmp_path: Path) -> None:
    """Works, kind and digest survive."""
    bank = Bank.memory("test", "cleared")
    bank.add(many(4))
    assert bank.write(tmp_path / "test.jsonl") == 4
    again = banks.load(str(tmp_path / "test.jsonl"))
    assert [one.work for one in bank.works(whole=True)] == [one.work for one in again.works(whole=True)]
    assert (bank.digest, "cleared", "test") == (again.digest, again.kind, again.name)
    assert found(again.snapshot(), 3) == ["w3"]
    assert [tmp_path / "test.jsonl"] == list(tmp_path.glob("*.*"))


def test_files_of_version_1_are_still_read(tmp_path: Path) -> None:
    """Hashes by method and view, in hexadecimal."""
    line = {"id": "a", "title": "A", "owner": "O", "licence": "L", "hashes": {"pdq": {"whole": print_of(1).hex()}}}
    (tmp_path / "old.jsonl").write_text('{"format": "genguard-bank", "version": 1}\n' + json.dumps(line) + "\n")
    old = banks.load(str(tmp_path / "old.jsonl"))
    assert found(old.snapshot(), 1) == ["a"]
    assert [one.work.owner for one in old.works()] == ["O"]


def test_the_bundled_bank_is_whole() -> None:
    """Every bundled work can be found by everything that a work is registered by."""
    bank = banks.load("protected-works")
    assert len(bank) >= 6
    for one in bank.works(whole=True):
        assert set(REGISTERED) == {each.method for each in one.work.fingerprints}
        assert one.work.title
        assert one.work.owner
        assert one.work.licence


def test_changing_a_bundled_bank_makes_a_copy(tmp_path: Path) -> None:
    """Which then goes by the name; the digests of the bundled one are part of its history."""
    bundled = banks.load("protected-works")
    assert bundled.folder is None
    mine, said = banks.for_change("protected-works")
    assert "copied the bundled bank" in said
    assert bundled.digest == mine.digest
    mine.add([hashed("a")])
    again = banks.load("protected-works")
    assert tmp_path / "banks" / "protected-works" == again.folder
    assert len(bundled) + 1 == len(again)
    assert not again.was_registered("a", bundled.digest)
    assert banks.for_change("protected-works")[1] == ""
    assert [tmp_path / "banks" / "protected-works"] == list((tmp_path / "banks").iterdir())


def test_banks_are_found_by_name_and_by_path(tmp_path: Path, bank: Bank) -> None:
    """A live bank in the banks folder comes first; one process has each open once."""
    bank.add([hashed("a")])
    one = banks.load("mine")
    assert one is banks.load("mine") is banks.load(str(tmp_path / "banks" / "mine"))
    assert banks.names() == {"mine": "live", "protected-texts": "bundled", "protected-works": "bundled"}


def test_a_bank_is_begun_by_its_first_change() -> None:
    """Of the kind that is asked for, which it keeps."""
    bank, said = banks.for_change("new", kind="cleared")
    assert "begun the cleared bank" in said
    assert "cleared" == bank.kind == banks.for_change("new")[0].kind
    with pytest.raises(InputError, match="is cleared, expected protected"):
        banks.for_change("new", kind="protected")


def test_a_bank_that_was_only_half_begun_is_ended(tmp_path: Path) -> None:
    """By the next change: a process died after it had made the file."""
    (tmp_path / "banks" / "half").mkdir(parents=True)
    (tmp_path / "banks" / "half" / "catalogue.db").touch()
    with pytest.raises(ModelError):
        banks.load("half", empty=True)
    assert len(banks.for_change("half")[0]) == 0


@pytest.mark.parametrize("name", ["..", ".hidden", "a b", "", "a.b", "x" * 65, "é", "a\n"])
def test_names_that_could_be_anything_are_refused(name: str) -> None:
    """A name is no path."""
    with pytest.raises(InputError, match="bank name"):
        banks.for_change(name)


def test_a_bank_without_works_format_or_file_is_refused(tmp_path: Path, bank: Bank) -> None:
    """A bank that could never match anything is an error, not a quiet check."""
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps({"format": "genguard-bank", "version": 2, "kind": "protected"}) + "\n")
    for name in (str(path), "mine"):
        with pytest.raises(ModelError, match="no works"):
            banks.load(name)
        assert len(banks.load(name, empty=True)) == 0
    for text in ('{"format": "genguard-bank", "version": 3}\n', '{"format": "other"}\n', ""):
        path.write_text(text)
        with pytest.raises(ModelError, match="another format"):
            banks.load(str(path))
    for name in ("nowhere", str(tmp_path / "nowhere.jsonl")):
        with pytest.raises(ModelError, match="no bank") as caught:
            banks.load(name)
        assert "protected-works" in caught.value.diagnostics()
    assert bank.kind == "protected"


HEX = "00" * 32
OLD = '{"format": "genguard-bank", "version": 1}'
NEW = '{"format": "genguard-bank", "version": 2, "kind": "protected"}'


@pytest.mark.parametrize(
    ("head", "line", "found"),
    [
        (NEW, "{", "no JSON"),
        (NEW, "[1]", "JSON list"),
        (NEW, '{"id": "a", "title": "t"}', "other fields"),
        (NEW, '{"id": "a", "title": "t", "fingerprints": [], "more": 1}', "other fields"),
        (NEW, '{"id": "a", "title": "t", "fingerprints": {}}', "no list"),
        (NEW, '{"id": "a", "title": "t", "fingerprints": []}', "0 fingerprints"),
        (NEW, '{"id": 3, "title": "t", "fingerprints": []}', "another type"),
        (NEW, '{"id": "a", "title": "t", "fingerprints": [{"method": "pdq"}]}', "another form"),
        (NEW, '{"id": "a", "title": "t", "fingerprints": [{"method": "pdq", "data": "!"}]}', "no base64"),
        (NEW, '{"id": "a", "title": "t", "fingerprints": [{"method": "pdq", "data": "AAAA"}]}', "3 bytes, expected 32"),
        (NEW, '{"id": "a", "title": "t", "fingerprints": [{"method": "md5", "data": "AAAA"}]}', "method 'md5'"),
        (NEW, '{"id": "a", "title": "t", "modality": "video", "fingerprints": []}', "modality 'video'"),
        (NEW, '{"id": "a", "title": "t", "valid_from": "soon", "fingerprints": []}', "valid_from 'soon'"),
        (NEW, '{"id": "a", "title": "t", "territory": [1], "fingerprints": []}', "territory"),
        (OLD, '{"id": "a", "title": "t", "hashes": {}, "more": 1}', "other fields"),
        (OLD, '{"id": "a", "title": "t", "hashes": []}', "another type"),
        (OLD, '{"id": "a", "title": "t", "hashes": {}}', "0 fingerprints"),
        (OLD, '{"id": "a", "title": "t", "hashes": {"pdq": {"whole": "00"}}}', "malformed hash"),
        (OLD, '{"id": "a", "title": "t", "hashes": {"pdq": {"whole": "' + "zz" * 32 + '"}}}', "malformed hash"),
        (OLD, '{"id": "a", "title": "t", "hashes": {"md5": {"whole": "' + HEX + '"}}}', "method 'md5'"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, head: str, line: str, found: str) -> None:
    """Every mistake in a bank's file is refused with its file and line."""
    path = tmp_path / "bad.jsonl"
    path.write_text(f"{head}\n{line}\n")
    with pytest.raises(ModelError, match=rf"bad\.jsonl:2: .*{found}"):
        banks.load(str(path))


def test_two_works_of_one_id_are_refused(tmp_path: Path) -> None:
    """An id stands for one work."""
    bank = Bank.memory("b")
    bank.add(many(1))
    bank.write(tmp_path / "b.jsonl")
    text = (tmp_path / "b.jsonl").read_text()
    (tmp_path / "b.jsonl").write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(ModelError, match=r"b\.jsonl:3: .*twice"):
        banks.load(str(tmp_path / "b.jsonl"))
