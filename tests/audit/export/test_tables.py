"""Tables, and the record that stands before a file is handed over."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from datetime import UTC, datetime

import pytest
from ledger_examples import DOCUMENT, REVISION, decision

from audit.events import EXPORT
from audit.export import selection
from audit.export.flat import COLUMNS
from audit.export.run import Order, export
from audit.export.selection import Selection
from audit.export.tables import cell
from audit.grammar import QueryError
from audit.query import query, reading, show
from guard.errors import InputError, LedgerError
from guard.types import Action, Request

EVIL = ('=HYPERLINK("http://x")', "+1", "-2+3", "@SUM(A1)", "\tx", "\r=1", ' "=1+1', "＝1", "\n@x")


@pytest.fixture
def filled(ledger):
    """A dozen decisions; some have names that a spreadsheet would run."""
    for number in range(12):
        ledger.append_sync(decision(list(Action)[number % 5], number=number, tenant=("acme", EVIL[0])[number % 2]))
    return ledger


def run(ledger, url, out, form, query="", **more):
    """One export."""
    return export(Order(url, form, query, "kim", **more), out, ledger.record_sync)


@pytest.mark.parametrize("text", EVIL)
def test_no_cell_begins_like_a_formula(text):
    """A quotation mark stands before it."""
    assert cell(text) == "'" + text


def test_harmless_cells_stay_as_they_are():
    """Words, numbers, nothing."""
    assert [cell(text) for text in ("a=b", "", "card-number", 7, "中文")] == ["a=b", "", "card-number", "7", "中文"]


def test_csv_reads_back_and_runs_nothing(filled, url, tmp_path):
    """Every row, in order, quoted."""
    done = run(filled, url, tmp_path / "a.csv", "csv")
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["index"]) for row in rows] == list(range(2, 14))
    assert {row["tenant"] for row in rows} == {"acme", "'" + EVIL[0]}
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    assert rows[4]["rule"] == "card-number"
    assert rows[4]["message"] == "Withheld."
    assert (done.written.count, done.written.first, done.written.last) == (12, 2, 13)


def test_jsonl_has_the_bytes_that_were_hashed(filled, url, tmp_path):
    """Who hashes `entry` comes to the leaf."""
    run(filled, url, tmp_path / "a.jsonl", "jsonl", "action:block", every_kind=True)
    for line in (tmp_path / "a.jsonl").read_bytes().splitlines():
        head, _, entry = line.partition(b'"entry":')
        told = json.loads(head.rstrip(b",") + b"}")
        assert hashlib.sha256(b"\x00" + entry[:-1]).hexdigest() == told["leaf"]
        assert show(url, told["index"]).leaf.hex() == told["leaf"]
        assert json.loads(entry[:-1])["verdict"]["action"] == "block"


def test_parquet_has_the_same_rows(filled, url, tmp_path):
    """Lists stay lists."""
    import pyarrow.parquet as pq

    run(filled, url, tmp_path / "a.parquet", "parquet", "-action:allow")
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert len(rows) == 9
    assert rows[0]["rule"] == ["card-number"]
    assert {row["tenant"] for row in rows} == {"acme", EVIL[0]}


def test_without_pyarrow_parquet_says_what_to_do(filled, url, tmp_path, monkeypatch):
    """And nothing is left behind."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="needs the package pyarrow"):
        run(filled, url, tmp_path / "a.parquet", "parquet")
    assert not list(tmp_path.glob("*a.parquet*"))


def test_each_export_is_an_entry_with_the_digest_of_the_file(filled, url, tmp_path):
    """Format, query, indices, who."""
    done = run(filled, url, tmp_path / "a.csv", "csv", "tenant:acme action:block", tenant="acme")
    event = show(url, done.entry).event
    assert (event.kind, event.actor, event.tenant) == (EXPORT, "kim", "acme")
    assert event.fields == {
        "format": "csv",
        "query": "tenant:acme action:block",
        "first": 6,
        "last": 6,
        "count": 1,
        "digest": hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest(),
    }
    assert query(url, "kind:export").rows[0].idx == done.entry
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_recorded_is_not_handed_over(filled, url, tmp_path):
    """Record first, then the name; a failure leaves nothing."""
    seen = []

    def refuse(event):
        seen.extend(file.name for file in tmp_path.iterdir() if "a.csv" in file.name)
        raise LedgerError("the disk is full")

    with pytest.raises(LedgerError, match="disk is full"):
        export(Order(url, "csv", "", "kim"), tmp_path / "a.csv", refuse)
    assert len(seen) == 1
    assert seen[0].endswith(".part"), "the file had another name when it was recorded"
    assert not list(tmp_path.glob("*a.csv*"))


def test_nothing_is_written_over_and_folders_are_not_made(filled, url, tmp_path):
    """Evidence stays."""
    (tmp_path / "a.csv").write_text("mine", "utf-8")
    with pytest.raises(InputError, match="exists already"):
        run(filled, url, tmp_path / "a.csv", "csv")
    assert (tmp_path / "a.csv").read_text("utf-8") == "mine"
    with pytest.raises(InputError, match="there is no folder"):
        run(filled, url, tmp_path / "none" / "a.csv", "csv")
    with pytest.raises(InputError, match="unknown format 'xlsx'"):
        run(filled, url, tmp_path / "b.csv", "xlsx")
    with pytest.raises(QueryError):
        run(filled, url, tmp_path / "b.csv", "csv", "colour:red")


def test_a_tenant_sees_its_own_whatever_it_asks_for(filled, url, tmp_path):
    """Values of one key stand beside one another; the tenant does not."""
    done = run(filled, url, tmp_path / "a.jsonl", "jsonl", f"tenant:'{EVIL[0]}',acme", tenant="acme")
    assert done.written.count == 6
    done = run(filled, url, tmp_path / "b.jsonl", "jsonl", "-tenant:acme", tenant="acme")
    assert done.written.count == 0


def test_entries_come_in_order_however_many_are_read_at_a_time(filled, url, monkeypatch):
    """Each once."""
    whole = Selection(every_kind=True)
    with reading(url) as connection:
        expected = [entry.idx for entry in whole.entries(connection)]
        assert whole.count(connection) == len(expected) == 14
        for size in (1, 3, 14, 15):
            monkeypatch.setattr(selection, "PAGE", size)
            assert [entry.idx for entry in whole.entries(connection)] == expected
            assert [idx for idx, _, whole_one in whole.leaves(connection) if whole_one] == expected


def test_a_name_with_line_breaks_and_quotes_stays_one_cell(ledger, url, tmp_path):
    """CSV's own traps."""
    one = decision(Action.BLOCK, request=Request('r"1\n=2,3', "acme", "key\r\n-1", "s", "en"))
    ledger.append_sync(one)
    run(ledger, url, tmp_path / "a.csv", "csv")
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["request"], row["actor"]) == ('r"1\n=2,3', "key\r\n-1")
    assert datetime.fromisoformat(row["time"]).tzinfo == UTC
    assert row["revision"] == REVISION
    assert DOCUMENT not in str(row)
