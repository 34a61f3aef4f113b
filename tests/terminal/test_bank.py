"""`genguard bank …` as a rights owner and an officer would use it."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import cli
from guard.matching.records import header, record
from tests.matching.works import many

POLICY = """policy: gallery
version: 1
status: live
checks:
  works: {use: image_match, bank: mine, deadline_ms: 60000}
rules:
  - {id: work, when: {works: matched}, action: block, category: intellectual_property}
"""


def picture(seed: int) -> Image.Image:
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((200, 160), Image.Resampling.BICUBIC)


@pytest.fixture
def genguard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command in a folder with two pictures; gives its exit code, what it wrote, and that as JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENGUARD_BANKS", raising=False)
    picture(1).save(tmp_path / "owl.png")
    picture(2).save(tmp_path / "other.png")
    picture(1).resize((300, 240)).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "copy.jpg", quality=60)

    def run(*arguments: str, given: bytes = b"", code: int = 0) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        assert code == stopped.value.code, written.err
        found = json.loads(written.out) if "--json" in arguments and code < 64 else None
        return SimpleNamespace(out=written.out, err=written.err, json=found)

    return run


def test_a_work_is_registered_matched_and_retired(genguard, tmp_path):
    """And each change is an entry of the ledger that the officer can find."""
    rights = (
        "--id",
        "owl",
        "--title",
        "Night Owl",
        "--owner",
        "Kestrel Ltd",
        "--licence",
        "all rights reserved",
        "--thumbnail",
    )
    added = genguard("bank", "add", "mine", "owl.png", *rights, "--territory", "cn DE", "--valid-until", "2030-12-31", "--json")
    assert "begun the protected bank" in added.err
    assert added.json["added"]
    assert (tmp_path / "banks" / "mine" / "catalogue.db").is_file()
    again = genguard("bank", "add", "mine", "owl.png", *rights, "--territory", "cn DE", "--valid-until", "2030-12-31")
    assert "already in" in again.out

    matched = genguard("bank", "match", "mine", "copy.jpg", "--json", "--out", "beside.png").json
    (one,) = matched["matches"]
    assert (one["work"], one["title"], one["owner"], one["territory"]) == ("owl", "Night Owl", "Kestrel Ltd", ["CN", "DE"])
    assert one["distance"] <= one["limit"]
    assert added.json["digest"] == matched["digest"]
    with Image.open("beside.png") as beside:
        assert beside.height == 384
        assert beside.width > 384
    told = genguard("bank", "match", "mine", "copy.jpg").out
    assert "Night Owl" in told
    assert "Kestrel Ltd" in told
    assert "no match among 1 works" in genguard("bank", "match", "mine", "other.png", code=1).out
    assert not genguard("bank", "match", "mine", "-", "--json", given=Path("other.png").read_bytes(), code=1).json["matched"]

    assert genguard("bank", "retire", "mine", "owl", "--json").json["works"] == 0
    genguard("bank", "match", "mine", "copy.jpg", code=1)
    page = genguard("audit", "query", "bank:mine", "--json").json["decisions"]
    assert [row["banks"] for row in page] == [["mine"]] * 2
    shown = genguard("audit", "show", str(page[1]["idx"]), "--json").json["entry"]
    assert (shown["kind"], shown["added"], shown["works"], shown["source"]) == ("bank_change", 1, ["owl"], "add")
    assert "1 retired" in genguard("audit", "show", str(page[0]["idx"])).out
    assert "mine" in genguard("audit", "query", "bank:mine").out
    genguard("audit", "verify")


def test_was_this_work_registered_then(genguard, tmp_path):
    """A decision's digest answers it."""
    genguard("bank", "add", "mine", "owl.png", "--id", "owl")
    (tmp_path / "gallery.yaml").write_text(POLICY)
    decided = genguard("check", "copy.jpg", "--policy", "gallery.yaml", "--json", code=30).json
    entry = genguard("audit", "show", decided["genguard"]["decision"], "--json").json["entry"]
    digest = entry["results"][0]["digest"]
    genguard("bank", "add", "mine", "other.png", "--id", "later")
    genguard("bank", "retire", "mine", "owl")
    assert genguard("bank", "show", "mine", "owl", "--at", digest, "--json").json["registered"]
    assert not genguard("bank", "show", "mine", "later", "--at", digest, "--json", code=1).json["registered"]
    assert not genguard("bank", "show", "mine", "owl", "--json").json["registered"]
    assert [one["id"] for one in genguard("bank", "list", "mine", "--at", digest[:12], "--json").json["works"]] == ["owl"]
    assert genguard("bank", "show", "mine", "--at", digest, "--json").json["works"] == 1
    assert "never had digest" in genguard("bank", "show", "mine", "--at", "ab" * 32, code=64).err
    explained = genguard("audit", "show", decided["genguard"]["decision"]).out
    assert "Registered works that were found" in explained
    assert "owl" in explained


def test_many_works_are_imported_and_the_bad_ones_named(genguard, tmp_path):
    """2 when some were refused; a second run passes over what is there."""
    lines = [json.dumps(header("cleared")), *(json.dumps(record(work)) for work in many(20)), "{"]
    (tmp_path / "hashes.jsonl").write_text("\n".join(lines) + "\n")
    found = genguard("bank", "import", "alike", "hashes.jsonl", "--json", "--rejects", "rejects.csv", code=2).json
    assert (found["added"], found["rejected"], found["works"]) == (20, 1, 20)
    assert found["rejects"][0]["place"] == "hashes.jsonl:22"
    assert "hashes.jsonl:22" in Path("rejects.csv").read_text()
    again = genguard("bank", "import", "alike", "hashes.jsonl", code=2)
    assert "0 registered, 20 already there, 1 refused" in again.out
    assert "hashes.jsonl:22: found a line that is no JSON" in again.err
    assert genguard("bank", "show", "alike", "--json").json["kind"] == "cleared"
    assert len(genguard("audit", "query", "bank:alike", "--json").json["decisions"]) == 1
    assert "is cleared, expected protected" in genguard("bank", "add", "alike", "owl.png", "--kind", "protected", code=64).err


def test_works_are_listed_in_pages(genguard, tmp_path):
    """As tables and as JSON."""
    (tmp_path / "hashes.jsonl").write_text(
        "\n".join([json.dumps(header("protected")), *(json.dumps(record(work)) for work in many(5))])
    )
    genguard("bank", "import", "mine", "hashes.jsonl")
    first = genguard("bank", "list", "mine", "--limit", "2", "--json").json
    assert ([one["id"] for one in first["works"]], first["next"]) == (["w0", "w1"], 2)
    last = genguard("bank", "list", "mine", "--limit", "3", "--after", "2", "--json").json
    assert ([one["id"] for one in last["works"]], last["next"]) == (["w2", "w3", "w4"], None)
    assert "the next page: --after 1" in genguard("bank", "list", "mine", "--limit", "1").out
    assert "1 works" in genguard("bank", "list", "mine", "--query", "w3").out
    names = {one["bank"]: one["where"] for one in genguard("bank", "list", "--json").json["banks"]}
    assert names == {"mine": "live", "protected-texts": "bundled", "protected-works": "bundled"}
    assert "protected-works" in genguard("bank", "list").out
    assert "w3" in genguard("bank", "show", "mine", "w3").out
    assert "hashes.jsonl" in genguard("bank", "show", "mine").out


@pytest.mark.parametrize("format_", ["jsonl", "csv", "threatexchange"])
def test_a_bank_is_exported_and_imported_again(genguard, format_):
    """In each format."""
    ending = "jsonl" if format_ == "jsonl" else "csv"
    done = genguard("bank", "export", "protected-works", f"out.{ending}", "--format", format_, "--json").json
    assert done["written"] == 6
    found = genguard("bank", "import", "copy", f"out.{ending}", "--json").json
    assert found["added"] >= 6
    assert found["rejected"] == 0
    assert Path(f"out.{ending}").read_text() == genguard("bank", "export", "protected-works", "-", "--format", format_).out


def test_the_first_change_of_a_bundled_bank_makes_a_copy(genguard):
    """And says so; decisions of the bundled one are still part of its history."""
    before = genguard("bank", "show", "protected-works", "--json").json
    added = genguard("bank", "add", "protected-works", "owl.png", "--json")
    assert "copied the bundled bank" in added.err
    after = genguard("bank", "show", "protected-works", "--json").json
    assert (before["works"] + 1, "live") == (after["works"], after["where"])
    assert before["digest"] in {one["digest"] for one in after["changes"]}
    assert len(genguard("audit", "query", "bank:protected-works", "--json").json["decisions"]) == 2


def test_what_cannot_be_done_is_said(genguard, tmp_path):
    """With 64, and nothing changed."""
    (tmp_path / "noise.bin").write_bytes(b"\x00\xff\xfe")
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    for arguments, found in (
        (("add", "../evil", "missing.png"), "cannot read missing.png"),
        (("add", "mine", "noise.bin"), "neither UTF-8"),
        (("add", "a b", "owl.png"), "bank name"),
        (("add", "mine", "owl.png", "--kind", "other"), "kind of bank 'other'"),
        (("add", "mine", "owl.png", "--valid-from", "soon"), "valid_from 'soon'"),
        (("add", "mine", "owl.png", "--territory", "Germany"), "territory"),
        (("import", "mine", "nowhere"), "there is no nowhere"),
        (("import", "mine", "odd.csv"), "odd.csv: found columns a, b"),
        (("import", "mine", "noise.bin"), "ending .bin"),
        (("export", "protected-works", "x", "--format", "xml"), "format 'xml'"),
        (("retire", "protected-works", "nobody"), "no work 'nobody'"),
        (("show", "protected-works", "nobody"), "no work 'nobody'"),
    ):
        assert found in genguard("bank", *arguments, code=64).err, arguments
    assert not (tmp_path / "banks").exists()
    assert "no bank 'nowhere'" in genguard("bank", "match", "nowhere", "owl.png", code=70).err
    genguard("bank", "add", "mine", "owl.png", "--id", "owl")
    assert "another work of bank" in genguard("bank", "add", "mine", "other.png", "--id", "owl", code=64).err
    assert genguard("bank", "show", "mine", "--json").json["works"] == 1


def test_a_bank_that_was_changed_behind_its_back_shows(genguard, tmp_path):
    """By its hash chain; and one that cannot be read hides no other from the list."""
    genguard("bank", "add", "mine", "owl.png", "--id", "owl", "--owner", "Kestrel Ltd")
    assert genguard("bank", "show", "mine", "--verify", "--json").json["history"] == "sound"
    with closing(sqlite3.connect(tmp_path / "banks" / "mine" / "catalogue.db")) as other:
        other.execute("UPDATE work SET owner = 'Somebody else'")
        other.commit()
    assert "damaged" in genguard("bank", "show", "mine", "--verify", code=2).out
    (tmp_path / "banks" / "broken").mkdir()
    (tmp_path / "banks" / "broken" / "catalogue.db").write_bytes(b"no database" * 100)
    listed = {one["bank"]: one for one in genguard("bank", "list", "--json").json["banks"]}
    assert "not a database" in listed["broken"]["trouble"]
    assert listed["mine"]["works"] == 1
    assert "not a database" in genguard("bank", "list").out


def test_nothing_changes_that_cannot_be_recorded(genguard, tmp_path):
    """The ledger is opened first."""
    (tmp_path / "ledger.db").write_bytes(b"no ledger" * 1000)
    genguard("bank", "add", "mine", "owl.png", "--ledger", "sqlite:///ledger.db", code=70)
    assert not (tmp_path / "banks").exists()


def test_titles_do_not_steer_the_terminal(genguard, tmp_path):
    """What a stranger's list says is shown as text."""
    (tmp_path / "list.csv").write_text("id,title,pdq\nw,[red]bold[/],1" + "0" * 63 + "\n")
    genguard("bank", "import", "mine", "list.csv")
    assert "[red]bold[/]" in genguard("bank", "list", "mine").out
    assert "control characters" in genguard("bank", "add", "mine", "owl.png", "--title", "a\x1b[2J", code=64).err
