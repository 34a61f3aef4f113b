"""`genguard audit export`, and checking what it gave, as an officer uses them."""

from __future__ import annotations

import json
import zipfile

import pytest


@pytest.fixture
def decided(genguard):
    """Three decisions: one released, one redacted, one blocked."""
    for text in (b"Good morning.", b"Card 4111 1111 1111 1111, please.", b"Mail to kim@example.org."):
        genguard("check", "-", "--policy", "desk.yaml", given=text)


def test_a_bundle_is_exported_recorded_and_verified_without_the_ledger(genguard, decided, tmp_path):
    """The key from the operator, the bundle from the officer, nothing else."""
    made = genguard("audit", "export", "evidence.zip", "action:block", "--actor", "kim")
    assert made.code == 0, made.err
    assert "evidence.zip: 1 entries (4 to 4) as bundle" in made.out
    assert "Recorded as entry 5" in made.out
    told = json.loads(genguard("audit", "query", "kind:export", "--json").out)
    assert len(told["decisions" if "decisions" in told else "rows"]) == 1
    assert "by kim" in " ".join(genguard("audit", "show", "5").out.split())
    key = genguard("audit", "key").out.strip()
    for file in tmp_path.glob("genguard.db*"):
        file.unlink()
    proven = genguard("audit", "verify", "evidence.zip", "--log-key", key)
    assert proven.code == 0, proven.err
    assert "checked: 1 entries are in that log as they stand here: 1 decision (1 block)" in proven.out
    assert "key came with" not in proven.out
    alone = json.loads(genguard("audit", "verify", "evidence.zip", "--json").out)
    assert any("the key came with the bundle" in line for line in alone["not_checked"])
    with zipfile.ZipFile("evidence.zip") as archive:
        archive.extractall("folder")
    assert genguard("audit", "verify", "folder", "--log-key", key).code == 0
    entries = tmp_path / "folder" / "entries.jsonl"
    entries.write_bytes(entries.read_bytes().replace(b'"block"', b'"allow"', 1))
    changed = genguard("audit", "verify", "folder", "--log-key", key)
    assert (changed.code, changed.out.strip()) == (2, "NOT PROVEN: entry 4 was changed, or others were left out before it")
    assert not json.loads(genguard("audit", "verify", "folder", "--json").out)["ok"]


def test_the_ending_chooses_the_format(genguard, decided, tmp_path):
    """And --format overrules it; --not leaves out."""
    assert json.loads(genguard("audit", "export", "a.csv", "--json").out)["format"] == "csv"
    made = json.loads(genguard("audit", "export", "b.txt", "--format", "jsonl", "--not", "action:allow", "--json").out)
    assert (made["format"], made["written"]["count"], made["query"]) == ("jsonl", 2, "-action:allow")
    everything = json.loads(genguard("audit", "export", "c.jsonl", "--all-kinds", "--json").out)
    assert everything["written"]["count"] == 7
    assert len((tmp_path / "c.jsonl").read_bytes().splitlines()) == 7


def test_mistakes_are_told_and_leave_nothing(genguard, decided, tmp_path):
    """A format, a filter, a file that is there, a ledger that is not."""
    assert genguard("audit", "export", "a.xlsx", "--format", "xlsx").code == 64
    assert genguard("audit", "export", "a.csv", "colour:red").code == 64
    (tmp_path / "b.csv").write_text("mine", "utf-8")
    assert "exists already" in genguard("audit", "export", "b.csv").err
    assert genguard("audit", "export", "c.csv", "--ledger", "sqlite:///none.db").code == 70
    assert not (tmp_path / "none.db").exists()
    assert not list(tmp_path.glob("*.part"))


def test_statistics_and_the_report_of_a_month(genguard, decided, tmp_path):
    """Counts on the terminal, as JSON, and as a page."""
    told = json.loads(genguard("audit", "stats", "--json").out)
    assert told["total"]["count"] == 3
    assert {one["value"]: one["count"] for one in told["by"]["rule"]} == {"card": 1, "mail": 1}
    shown = genguard("audit", "stats", "action:block")
    assert shown.code == 0
    assert "overturned 0" in shown.out
    made = genguard("audit", "report", "--out", "r.html", "--month", told["since"][:7], "tenant:nobody", "--tenant", "acme")
    assert made.code == 0, made.err
    assert "<h1>Moderation report</h1>" in (tmp_path / "r.html").read_text("utf-8")
    assert genguard("audit", "report", "--out", "r.html").code == 0, "a report may be made again"
    assert genguard("audit", "report", "--out", "none/r.html").code == 64
    assert genguard("audit", "stats", "--month", "2026").code == 64
    assert genguard("audit", "stats", "--month", "2026-11", "since:2026-11-01").code == 64


def test_a_stream_to_a_file_goes_on_where_it_was(genguard, decided, tmp_path):
    """Its begin is recorded; statements and findings have their names."""
    first = genguard("audit", "stream", "--to", "out.jsonl", "--cursor", "c.json", "--actor", "kim")
    assert (first.code, first.out.strip()) == (0, "out.jsonl: 3 entries sent; next is 6")
    again = json.loads(genguard("audit", "stream", "--to", "out.jsonl", "--cursor", "c.json", "--json").out)
    assert again == {"to": "out.jsonl", "sent": 0, "next": 7}
    assert "by kim" in " ".join(genguard("audit", "show", "5").out.split())
    assert genguard("audit", "stream", "--to", "http://example.org", "--cursor", "c.json").code == 64
    assert genguard("audit", "stream", "--to", "none/out.jsonl", "--cursor", "d.json", "--format", "xml").code == 64
    made = genguard("audit", "export", "dsa.jsonl", "--format", "dsa")
    assert "no statements as dsa" in made.out
    assert "left out 1: not restricted" in made.err
