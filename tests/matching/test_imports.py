"""Imports: from folders, CSV and JSON Lines; interrupted, resumed, and with rows that cannot be used."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guard.errors import InputError
from guard.matching import fingerprinting, imports
from guard.matching.bank import Bank
from guard.matching.imports import Options, import_works
from guard.matching.records import header, record
from guard.types import Modality
from tests.matching.works import hashed, many, print_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank.open(tmp_path / "banks" / "mine", kind="protected")
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "works"
    made.mkdir()
    return made


def picture(seed: int) -> Image.Image:
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((200, 160), Image.Resampling.BICUBIC)


def ids(bank: Bank) -> list[str]:
    return [one.work.id for one in bank.works()]


def jsonl(path: Path, count: int) -> Path:
    with path.open("w") as stream:
        stream.write(json.dumps(header("protected")) + "\n")
        for work in many(count):
            stream.write(json.dumps(record(work)) + "\n")
    return path


# --- folders -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_imported_with_all_below_it(bank: Bank, folder: Path) -> None:
    """Pictures by their content, not by their ending; hidden files are left alone; what is neither is named."""
    (folder / "deep").mkdir()
    (folder / ".hidden").mkdir()
    picture(1).save(folder / "one.png")
    picture(2).save(folder / "deep" / "two.jpg")
    picture(3).save(folder / "three.dat", "PNG")
    picture(4).save(folder / ".hidden" / "four.png")
    (folder / "song.bin").write_bytes(b"\x00\xff\x00\xff")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.new("RGB", (100, 100), "white").save(folder / "flat.png")
    summary = import_works(bank, folder, Options(actor="ann"))
    assert (summary.added, summary.same, summary.rejected) == (3, 0, 3)
    assert ids(bank) == ["deep/two.jpg", "one.png", "three.dat"]
    assert [one.work.title for one in bank.works()] == ["two", "one", "three"]
    errors = {one.place: one.error for one in summary.rejects}
    assert {"broken.png", "flat.png", "song.bin"} == set(errors)
    assert "no readable image" in errors["broken.png"]
    assert "flat" in errors["flat.png"]
    assert "neither UTF-8 text" in errors["song.bin"]
    assert [one.actor for one in bank.catalogue.batches(0)] == ["ann"]


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_a_list_beside_the_files_says_whose_they_are(bank: Bank, folder: Path, kind: str) -> None:
    """Files that it does not name keep their names; an entry that cannot be used does not let its file in without rights."""
    for number in range(4):
        picture(number).save(folder / f"{number}.png")
    rows = [
        {
            "id": "w0",
            "title": "Work, 0",
            "owner": "O",
            "licence": "L",
            "file": "0.png",
            "territory": "CN de",
            "valid_until": "2030-01-31",
        },
        {
            "id": "w1",
            "title": "Work, 1",
            "owner": "",
            "licence": "",
            "file": "./1.png",
            "territory": "",
            "valid_until": "never",
        },
        {"id": "w9", "title": "Work, 9", "owner": "", "licence": "", "file": "9.png", "territory": "", "valid_until": ""},
        {
            "id": "w8",
            "title": "Work, 8",
            "owner": "",
            "licence": "",
            "file": "../outside.png",
            "territory": "",
            "valid_until": "",
        },
    ]
    picture(8).save(folder.parent / "outside.png")
    path = folder / f"works.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text(json.dumps(rows) if kind == "json" else "".join(json.dumps(row) + "\n" for row in rows))
    summary = import_works(bank, folder)
    assert ids(bank) == ["w0", "2.png", "3.png"]
    found = bank.find("w0")
    assert found is not None
    work = found.work
    assert ("Work, 0", "O", "L", ("CN", "DE"), date(2030, 1, 31)) == (
        work.title,
        work.owner,
        work.licence,
        work.territory,
        work.valid_until,
    )
    lines = [2, 3, 4] if kind != "csv" else [3, 4, 5]
    assert [f"works.{kind}:{line}" for line in lines] == [one.place for one in summary.rejects]
    assert ["never" in summary.rejects[0].error, *("not in the folder" in one.error for one in summary.rejects[1:])] == [
        True
    ] * 3


def test_files_that_are_there_are_not_fingerprinted_again(bank: Bank, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new; a file that changed is named, because another work has its id."""
    for number in range(3):
        picture(number).save(folder / f"{number}.png")
    assert import_works(bank, folder).added == 3
    picture(7).save(folder / "7.png")
    picture(8).save(folder / "1.png")
    asked: list[int] = []
    original = fingerprinting.fingerprints_of
    monkeypatch.setattr(imports, "fingerprints_of", lambda data, **more: asked.append(1) or original(data, **more))
    summary = import_works(bank, folder)
    assert (summary.added, summary.same, summary.rejected) == (1, 2, 1)
    assert "another work of the bank has" in summary.rejects[0].error
    assert asked == [1]


def test_retired_works_do_not_come_back_by_themselves(bank: Bank, folder: Path) -> None:
    """An import that is run again leaves them retired, unless it is told."""
    for number in range(2):
        picture(number).save(folder / f"{number}.png")
    import_works(bank, folder)
    bank.retire(["0.png"])
    summary = import_works(bank, folder)
    assert (summary.added, summary.same, summary.retired) == (0, 1, 1)
    assert import_works(bank, folder, Options(again=True)).added == 1
    assert ids(bank) == ["1.png", "0.png"]


def test_heavy_works_are_registered_early(bank: Bank, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its batch is bounded in bytes, too."""
    monkeypatch.setattr(imports, "WEIGHT", 300)
    for number in range(4):
        picture(number).save(folder / f"{number}.png")
    assert import_works(bank, folder).added == 4
    assert len(bank.catalogue.batches(0)) > 1


def test_thumbnails_are_kept_when_asked_for(bank: Bank, folder: Path) -> None:
    """Small JPEGs."""
    picture(1).resize((900, 700)).save(folder / "a.png")
    import_works(bank, folder, Options(thumbnails=True))
    found = bank.find("a.png")
    assert found is not None
    (folder / "thumb.jpg").write_bytes(found.work.thumbnail)
    with Image.open(folder / "thumb.jpg") as small:
        assert small.size == (192, 149)
        assert small.format == "JPEG"


def test_texts_are_told_from_pictures_by_their_content(bank: Bank, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source code is text, with a byte order mark or without."""
    asked: list[str] = []

    def of_text(text: str, *, keep_text: bool = False) -> tuple[object, ...]:
        asked.append(f"{text} {keep_text}")
        raise InputError("found a text of 4 letters")

    monkeypatch.setattr(fingerprinting, "of_text", of_text)
    (folder / "code.py").write_bytes(b"\xef\xbb\xbfcode")
    (folder / "书.txt").write_text("文字")
    summary = import_works(bank, folder, Options(keep_text=True))
    assert asked == ["code True", "文字 True"]
    assert [one.error for one in summary.rejects] == ["found a text of 4 letters"] * 2


# --- lists of hashes ---------------------------------------------------------------------------------------------------


def test_hashes_alone_are_imported(bank: Bank, tmp_path: Path) -> None:
    """The work itself need not be handed over."""
    path = jsonl(tmp_path / "hashes.jsonl", 30)
    calls: list[tuple[int, int]] = []
    summary = import_works(bank, path, progress=lambda done, of: calls.append((done, of)))
    assert (summary.added, summary.rejected, summary.same) == (30, 0, 0)
    assert import_works(bank, path).same == 30
    assert calls[-1] == (30, 31)
    assert Modality.IMAGE is next(bank.works()).work.modality


def test_rows_that_cannot_be_used_are_named_and_the_others_go_on(bank: Bank, tmp_path: Path) -> None:
    """By file and line, with what was found and what was expected; all of them in the rejects file."""
    good, other = (json.dumps(record(hashed(name, seed))) for name, seed in (("a", 1), ("b", 2)))
    clash = json.dumps(record(hashed("a", 3)))
    bad = json.dumps({"id": "c", "title": "C", "fingerprints": [{"method": "pdq", "data": "AAAA"}]})
    path = tmp_path / "hashes.jsonl"
    path.write_text("\n".join([json.dumps(header("protected")), good, "{", bad, "", clash, other]) + "\n")
    rejects = tmp_path / "rejects.csv"
    summary = import_works(bank, path, Options(rejects=rejects))
    assert ids(bank) == ["a", "b"]
    assert {int(one.place.partition(":")[2]): one.id for one in summary.rejects} == {3: "", 4: "c", 6: "a"}
    assert summary.rejected == 3
    with rejects.open() as stream:
        listed = list(csv.reader(stream))
    assert listed[0] == ["place", "id", "error"]
    assert {"hashes.jsonl:3", "hashes.jsonl:4", "hashes.jsonl:6"} == {row[0] for row in listed[1:]}
    assert any("3 bytes, expected 32" in row[2] for row in listed)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("works.xlsx", "", "ending .xlsx"),
        ("works.csv", "name,weight\n", "expected hash or file"),
        ("works.csv", "", "expected hash or file"),
        ("works.jsonl", '{"format": "other"}\n', "another format"),
        ("works.jsonl", "", "another format"),
    ],
)
def test_a_source_that_is_unusable_as_a_whole_is_refused(bank: Bank, tmp_path: Path, name: str, text: str, found: str) -> None:
    """With its name."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=found) as caught:
        import_works(bank, tmp_path / name)
    assert name in str(caught.value)
    with pytest.raises(InputError, match="cannot read"):
        import_works(bank, tmp_path / "nowhere.csv")


def killed_and_resumed(bank: Bank, path: Path, count: int, kills: int) -> None:
    """Kill an import again and again, then let one end; every work is there once, and the history holds."""
    command = [sys.executable, "-m", "tests.matching.importer_process", str(bank.folder), str(path)]
    for _ in range(kills):
        before = len(bank)
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        until = time.monotonic() + 60
        while len(bank) < min(before + count // (kills + 2), count) and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        with process:
            process.wait()
        assert before < len(bank) < count
    left = len(bank)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=True)
    assert count - left == int(done.stdout.split()[1])
    assert [f"w{number}" for number in range(count)] == ids(bank)
    assert bank.catalogue.rehash().hex() == bank.digest
    index = bank.snapshot().indexes["pdq"]
    assert count == len(index) == bank.snapshot().size


def test_an_import_that_is_killed_is_resumed(bank: Bank, tmp_path: Path) -> None:
    """It loses nothing and doubles nothing, wherever it was."""
    killed_and_resumed(bank, jsonl(tmp_path / "hashes.jsonl", 2000), 2000, 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_works_are_imported_killed_and_resumed(bank: Bank, tmp_path: Path) -> None:
    """As issue 4 asks; the second run passes over what is there faster than it was imported."""
    path = jsonl(tmp_path / "hashes.jsonl", 100_000)
    killed_and_resumed(bank, path, 100_000, 2)
    again = import_works(bank, path)
    assert (again.added, again.same) == (0, 100_000)
    assert print_of(99_999) == bank.find("w99999").work.fingerprints[0].data  # type: ignore[union-attr]
