"""Files that others write and read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from guard.errors import InputError
from guard.matching import exchange
from guard.matching.exchange import Item, read_csv
from guard.matching.works import Fingerprint, Work
from tests.matching.works import hashed, print_of

A, B = print_of(1).hex(), print_of(2).hex()


def items(text: str) -> list[Item]:
    return list(read_csv(io.StringIO(text)))


def works(text: str) -> list[Work]:
    found = items(text)
    assert [one.error for one in found if one.error] == []
    return [one.work for one in found if one.work]


def written(format_: str, *given: Work, kind: str = "protected") -> str:
    stream = io.StringIO()
    exchange.write(given, kind, "mine", format_, stream)
    return stream.getvalue()


def test_the_lists_of_threatexchanges_command_are_read() -> None:
    """`threatexchange dataset --print-signals --csv`: a signal a line."""
    found = works(
        "collab,signal_type,signal_str,category,tags\n"
        f"Sample Signals,pdq,{A},POSITIVE_CLASS,test media_type_photo\n"
        f"Sample Signals,pdq,{B},INVESTIGATION_SEED,\n"
    )
    assert [f"pdq:{A}", f"pdq:{B}"] == [work.id for work in found]
    assert (Fingerprint("pdq", print_of(1), "whole"),) == found[0].fingerprints


@pytest.mark.parametrize(
    ("line", "id_", "title"),
    [
        (
            f"{A},2880742865368386,2020-07-31T18:47:52+0000,media_priority_pdq_samples disputed",
            "2880742865368386",
            "2880742865368386",
        ),
        (f"{A},100,bridge/aaa-orig.jpg", f"pdq:{A}", "aaa-orig.jpg"),
        (f"{A},100", f"pdq:{A}", f"pdq:{A}"),
        (A, f"pdq:{A}", f"pdq:{A}"),
        (A.upper(), f"pdq:{A}", f"pdq:{A}"),
    ],
)
def test_lists_without_a_header_are_read(line: str, id_: str, title: str) -> None:
    """Of Hasher-Matcher-Actioner's samples, of PDQ's hasher, and bare hashes."""
    (work,) = works(line + "\n")
    assert (id_, title) == (work.id, work.title)
    assert print_of(1) == work.fingerprints[0].data


def test_lists_of_paths_and_hashes_are_read() -> None:
    """As PDQ's test data; the file need not be here."""
    (work,) = works(f"FilePath,Hash\n../../data/c.png,{A}\n")
    assert ("c.png", f"pdq:{A}") == (work.title, work.id)


def test_columns_by_method_are_read() -> None:
    """With the rights."""
    (work,) = works(f"id,title,owner,license,pdq,phash_trimmed,territory\nw,W,O,CC,{A},{B},cn;DE\n")
    assert (work.id, work.title, work.owner, work.licence, work.territory) == ("w", "W", "O", "CC", ("CN", "DE"))
    assert (Fingerprint("pdq", print_of(1), "whole"), Fingerprint("phash", print_of(2), "trimmed")) == work.fingerprints


def test_rows_of_one_work_are_joined() -> None:
    """When they follow one another and agree about it."""
    text = f"id,title,method,view,hash\nw,W,pdq,whole,{A}\nw,W,phash,whole,{B}\nw,Other,pdq,whole,{B}\n"
    found = works(text)
    assert [len(work.fingerprints) for work in found] == [2, 1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"hash,signal_type\n{A},video_md5\n", "type 'video_md5'"),
        ("hash\nff00\n", "malformed hash of 4"),
        (f"hash\n{'zz' * 32}\n", "malformed hash"),
        (f"hash,quality\n{A},20\n", "quality 20"),
        (f"hash,quality\n{A},high\n", "quality 'high'"),
        (f"hash,title\n{A},a,b\n", "1 cells more"),
        ("hash,title\n,a\n", "without a hash"),
        (f"hash,territory\n{A},Germany\n", ""),
        (f"hash,modality\n{A},video\n", "modality 'video'"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(text: str, found: str) -> None:
    """With its line; the country is looked at when the work is registered."""
    (item,) = items(text)
    assert item.line == 2
    assert found in item.error
    assert bool(found) == (item.work is None)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "hash,hash\n", "hash,indicator\n", f"hash,weight\n{A},1\n"])
def test_columns_that_nobody_knows_are_refused(text: str) -> None:
    """Rather than read past."""
    with pytest.raises(InputError, match="found columns"):
        items(text)


FULL = hashed("w", 1, owner="O", licence="L", terms='line\nbreak, "quoted"', contact="c", territory=("CN",))


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_what_is_written_is_read_again(format_: str, tmp_path: Path) -> None:
    """All of a work of hashes."""
    both = Work("x", "X", fingerprints=(Fingerprint("pdq", print_of(1), "whole"), Fingerprint("phash", print_of(2), "trimmed")))
    path = tmp_path / f"b.{format_}"
    path.write_text(written(format_, FULL, both), newline="")
    assert [FULL, both] == [one.work for one in exchange.read(path)]


def test_threatexchange_gets_its_own_columns() -> None:
    """One line a PDQ hash; a cleared bank is of the negative class."""
    both = Work("x", "X", fingerprints=(Fingerprint("pdq", print_of(1), "whole"), Fingerprint("pdq", print_of(1), "trimmed")))
    none = Work("y", "Y", fingerprints=(Fingerprint("dhash", print_of(1)),))
    rows = list(csv.reader(io.StringIO(written("threatexchange", both, none, kind="cleared"))))
    assert rows[0] == ["collab", "signal_type", "signal_str", "category", "tags"]
    assert rows[1:] == [["mine", "pdq", A, "NEGATIVE_CLASS", "media_type_photo"]]
    assert [f"pdq:{A}"] == [work.id for work in works(written("threatexchange", both))]


def test_a_cell_is_never_a_formula() -> None:
    """Titles come from strangers, and CSV ends in spreadsheets."""
    text = written("csv", Work("=1+1", "@SUM(A1)", fingerprints=FULL.fingerprints))
    assert list(csv.reader(io.StringIO(text)))[1][:2] == ["'=1+1", "'@SUM(A1)"]
    assert [(work.id, work.title) for work in works(text)] == [("=1+1", "@SUM(A1)")]


def test_an_unknown_format_is_refused() -> None:
    """With those there are."""
    with pytest.raises(InputError, match="jsonl, csv, threatexchange"):
        written("xml", FULL)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """What was there stays when writing fails."""
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), exchange.replacing(path) as stream:
        stream.write(f"half {1 // 0}")
    assert [path] == list(tmp_path.iterdir())
    assert path.read_text() == "old"
