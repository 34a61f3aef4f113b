"""`genguard bulk check`: tables and folders, whole and cut off."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.fakes import png

ROOT = Path(__file__).parents[2]
POLICY = """policy: quick
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  works: {use: image_match, bank: protected-works, deadline_ms: 60000}
rules:
  - {id: token, when: {secrets: any}, action: redact, category: privacy, with: {operator: replace}}
  - {id: work, when: {works: matched}, action: block, category: intellectual_property}
"""
TOKEN = "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"


@pytest.fixture(autouse=True)
def _policy(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text(POLICY, "utf-8")


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def write(file: Path, texts: list[str | None]) -> None:
    file.write_text("".join(json.dumps({"text": text, "name": f"n{at}"}) + "\n" for at, text in enumerate(texts)), "utf-8")


def test_a_table_of_texts(genguard, tmp_path):
    """What may leave, why, and a receipt for each, in the order of the table; a field without text is refused and recorded."""
    write(tmp_path / "in.jsonl", ["Good morning.", f"It is {TOKEN}.", None, "早上好。"])
    done = genguard("bulk", "check", "in.jsonl", "out.jsonl", "--policy", "quick.yaml", "--id", "name", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["count"] == 4
    assert told["actions"] == {"allow": 2, "redact": 1, "refused": 1}
    assert told["rules"]["token"] == 1
    found = lines(tmp_path / "out.jsonl")
    assert [one["id"] for one in found] == ["n0", "n1", "n2", "n3"]
    assert [one.get("text") for one in found] == ["Good morning.", "It is [GITHUB_TOKEN].", None, "早上好。"]
    assert not (tmp_path / "out.jsonl.part").exists()
    for one in found:
        index, leaf = one["receipt"].split(":")
        shown = json.loads(genguard("audit", "show", one["decision"], "--json").out)
        assert (shown["index"], shown["leaf_hash"]) == (int(index), leaf)
    assert genguard("audit", "verify").code == 0


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_other_formats(genguard, tmp_path, kind):
    """Read and written; no cell is a formula."""
    write(tmp_path / "in.jsonl", ["=1+1", "Good morning."])
    assert genguard("bulk", "check", "in.jsonl", f"out.{kind}", "--policy", "quick.yaml").code == 0
    again = genguard("bulk", "check", f"out.{kind}", "again.jsonl", "--policy", "quick.yaml", "--id", "row")
    assert again.code == 0, again.err
    if kind == "parquet":
        assert pq.read_table(tmp_path / "out.parquet").column("text").to_pylist() == ["=1+1", "Good morning."]
    else:
        with (tmp_path / f"out.{kind}").open(newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t" if kind == "tsv" else ","))
        assert [row["text"] for row in rows] == ["'=1+1", "Good morning."]
    assert [one["id"] for one in lines(tmp_path / "again.jsonl")] == ["0", "1"]


def test_a_folder_of_images(genguard, tmp_path):
    """Those that may leave stand beside the results; a file of another kind is refused, a known work is blocked."""
    work = next((ROOT / "training" / "diffusion" / "works").glob("*.png"))
    folder = tmp_path / "pictures" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(png(64, 64, (9, 9, 200)))
    (folder / "b.png").write_bytes(b"no image at all")
    (folder.parent / "z.png").write_bytes(work.read_bytes())
    (folder.parent / "notes.txt").write_text("none of these")
    done = genguard("bulk", "check", "pictures", "judged", "--policy", "quick.yaml", "--json")
    assert done.code == 0, done.err
    found = lines(tmp_path / "judged" / "results.jsonl")
    assert [(one["id"], one["action"]) for one in found] == [
        ("deep/a.png", "allow"), ("deep/b.png", "refused"), ("z.png", "block"),
    ]  # fmt: skip
    assert (tmp_path / "judged" / found[0]["file"]).read_bytes() == (folder / "a.png").read_bytes()
    assert [file.name for file in (tmp_path / "judged" / "released").iterdir()] == ["00000000.png"]


def test_a_run_that_was_killed_goes_on_and_judges_nothing_twice(genguard, tmp_path):
    """Each text has one decision and one result, whenever the process died."""
    texts = [f"Number {at} is {TOKEN}." if at % 7 == 0 else f"Number {at} is fine." for at in range(400)]
    write(tmp_path / "in.jsonl", texts)
    command = ["bulk", "check", "in.jsonl", "out.jsonl", "--policy", "quick.yaml", "--batch", "8"]
    part = tmp_path / "out.jsonl.part"
    for kill_at in (20, 150):
        child = subprocess.Popen(
            [sys.executable, "-m", "cli", *command],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        with child:
            while child.poll() is None and (not part.exists() or part.read_bytes().count(b"\n") < kill_at):
                time.sleep(0.005)
            assert child.poll() is None, child.stderr.read()
            child.send_signal(signal.SIGKILL)
            child.wait()
    with part.open("ab") as stream:
        stream.write(b'{"row": 9999, "id"')  # a line that was cut off
    done = genguard(*command, "--json")
    assert done.code == 0, done.err
    assert "goes on after" in done.err
    found = lines(tmp_path / "out.jsonl")
    assert [one["row"] for one in found] == list(range(400))
    assert [one["text"] for one in found] == [text.replace(TOKEN, "[GITHUB_TOKEN]") for text in texts]
    assert Counter(one["decision"] for one in found).most_common(1)[0][1] == 1
    page = json.loads(genguard("audit", "query", "kind:decision", "--limit", "500", "--json").out)
    assert {row["decision"] for row in page["decisions"]} == {one["decision"] for one in found}
    assert genguard("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing.jsonl", "out.jsonl"), "no such file"),
        (("in.jsonl", "out.doc"), "no known ending"),
        (("in.jsonl", "in.jsonl"), "exists already"),
        (("in.jsonl", "nowhere/out.jsonl"), "no folder"),
        (("in.jsonl", "out.jsonl", "--text", "body"), "no column 'body'"),
        (("empty", "out"), "no image"),
        (("none.jsonl", "out.jsonl"), "no rows"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_judged(genguard, tmp_path, arguments, told):
    """Exit code 64, and no decision."""
    write(tmp_path / "in.jsonl", ["Good morning."])
    (tmp_path / "none.jsonl").touch()
    (tmp_path / "empty").mkdir()
    done = genguard("bulk", "check", *arguments, "--policy", "quick.yaml")
    assert done.code == 64
    assert told in done.err


def test_a_run_about_something_else_is_not_gone_on_with(genguard, tmp_path):
    """Another input, policy or ledger says so; --restart begins anew."""
    write(tmp_path / "in.jsonl", ["Good morning."])
    (tmp_path / "out.jsonl.part").write_text(json.dumps({"run": "r", "batch": 64, "digest": "other"}) + "\n")
    command = ("bulk", "check", "in.jsonl", "out.jsonl", "--policy", "quick.yaml")
    refused = genguard(*command)
    assert refused.code == 64
    assert "digest" in refused.err
    assert genguard(*command, "--restart").code == 0
    assert len(lines(tmp_path / "out.jsonl")) == 1
