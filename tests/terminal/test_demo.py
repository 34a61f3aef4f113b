"""`genguard demo` as a person runs it: everything shown, nothing from the network, and nothing lost when it is killed."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from audit.query import query, show
from audit.verify import verify
from guard.marks.watermark import payload_in
from serving.settings import Settings
from serving.verification import Answer, gather
from serving.verification import verify as origin
from serving.watermarking import find_watermark_key

ROOT = Path(__file__).parents[2]
OFFLINE = """
import socket, sys

def refuse(*_args, **_options):
    raise AssertionError("the demo reached for the network")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
import cli
sys.argv = ["genguard", *sys.argv[1:]]
cli.main()
"""


def demo(out: Path, home: Path, seed: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", OFFLINE, "demo", "--out", str(out), "--seed", str(seed)]
    return subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def decisions(out: Path) -> dict[str, str]:
    """Action by decision id, of all outputs."""
    rows, before = [], None
    while True:
        page = query(f"sqlite:///{out / 'genguard.db'}", "stage:output", limit=500, before=before)
        rows += page.rows
        before = page.older
        if before is None:
            return {row.decision: row.action for row in rows}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One whole run in an empty HOME with the network shut off."""
    folder = tmp_path_factory.mktemp("demo")
    process = demo(folder / "out", folder, seed=7)
    written, _ = process.communicate(timeout=280)
    return folder / "out", process.returncode, written


@pytest.mark.timeout(300)
def test_the_demo_shows_every_kind_of_decision_and_ends_with_0(run):
    """At least 40 texts and 12 images, each kind at least once, and the verifier names the changed entry."""
    out, code, written = run
    assert code == 0, written[-3000:]
    for kind in (
        "released untouched",
        "personal data redacted",
        "toxic text blocked",
        "protected work blocked",
        "mark read back",
    ):
        assert re.search(rf"yes .*{kind}: [1-9]", written), kind
    assert len(decisions(out)) >= 52
    assert "sound" in written
    entry = re.search(r"in entry (\d+)", written)
    assert entry
    assert f"entry {entry[1]} " in written.split("Verifier:")[1]
    assert len([line for line in written.split("Try next:")[1].splitlines() if line.strip()]) == 3


def test_every_released_file_is_what_its_decision_released(run):
    """Texts equal the stored payload; images give back the mark of their decision; withheld outputs have no file."""
    out, _, _ = run
    actions = decisions(out)
    files = list((out / "released").iterdir())
    assert {file.stem for file in files} == {one for one, action in actions.items() if action in {"allow", "redact"}}
    for file in files:
        shown = show(f"sqlite:///{out / 'genguard.db'}", file.stem, reveal=True)
        assert shown.payloads[-1].data == file.read_bytes()
        if file.suffix == ".png":
            assert shown.decision is not None
            mark, source_type = shown.decision.marks
            assert (source_type.kind, source_type.verified) == ("iptc", True)
            key = find_watermark_key(f"sqlite:///{out / 'genguard.db'}")
            assert payload_in(file.read_bytes(), mark.method, key) == mark.payload


@pytest.mark.timeout(200)
def test_every_released_file_leads_back_to_its_entry(run):
    """Texts and images as they left; images also after JPEG at quality 75 and a cut of a tenth, all metadata gone."""
    out, _, _ = run
    sources = gather(Settings(ledger=f"sqlite:///{out / 'genguard.db'}"))
    for file in sorted((out / "released").iterdir()):
        data = file.read_bytes() if file.suffix == ".png" else file.read_text("utf-8")
        report = origin(data, sources)
        assert report.answer is Answer.OURS, (file, report.words)
        assert file.stem in {str(one.decision) for one in report.same}  # the model may say the same twice
        if isinstance(data, bytes):
            changed = origin(hurt(data), sources)
            assert changed.answer is Answer.CHANGED, (file, changed.words)
            assert changed.entry is not None
            assert str(changed.entry.decision) == file.stem


def hurt(data: bytes) -> bytes:
    """JPEG at quality 75, then a tenth cut off each way."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    first, last = io.BytesIO(), io.BytesIO()
    image.save(first, "JPEG", quality=75)
    cut = Image.open(first).crop((width // 20, height // 20, width - width // 20, height - height // 20))
    cut.save(last, "JPEG", quality=75)
    return last.getvalue()


@pytest.mark.timeout(200)
def test_kill_9_loses_no_decision_whose_output_had_been_released(tmp_path):
    """Killed in the middle, the ledger is sound and knows every file that was written."""
    out = tmp_path / "out"
    process = demo(out, tmp_path, seed=11)
    deadline = time.monotonic() + 150
    while len(list((out / "released").glob("*"))) < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()[0][-2000:]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    files = [file for file in (out / "released").iterdir() if file.stat().st_size]
    assert len(files) >= 8
    known = decisions(out)
    assert {file.stem for file in files} <= set(known)
    assert verify(f"sqlite:///{out / 'genguard.db'}").ok
