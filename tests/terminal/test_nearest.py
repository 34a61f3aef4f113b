"""`genguard verify` on images without a readable mark: the nearest released image is named, and proves nothing."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image, ImageOps

import cli
from audit.fingerprints import kept_fingerprints
from guard.types import Request
from serving import album
from serving.verification import Sources
from serving.verification import verify as judge
from serving.wiring import open_guard

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
POLICY = """
policy: bare
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  works: {use: image_match, bank: protected-works, deadline_ms: 60000}
rules:
  - {id: key, when: {secrets: any}, action: block}
  - {id: work, when: {works: matched}, action: block}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A ledger of a policy without marks, with a chapel and a kitchen that were released, and a text."""
    folder = tmp_path_factory.mktemp("nearest")
    (folder / "bare.yaml").write_text(POLICY, "utf-8")
    url = f"sqlite:///{folder / 'ledger.db'}"
    guard, ledger = open_guard([str(folder / "bare.yaml")], url)
    with ledger:
        images = [release(guard, name) for name in ("chapel", "kitchen")]
        guard.check_sync("The harbour opens at six in the morning.", request=Request("r"))
    return SimpleNamespace(folder=folder, url=url, chapel=images[0], kitchen=images[1])


def release(guard: object, name: str, request: str = "req-1") -> object:
    asked = Request(request, "acme", "key-9", f"subject-{name}")
    found = guard.check_sync((PHOTOS / f"{name}.jpg").read_bytes(), request=asked)
    assert found.content is not None
    return found


@pytest.fixture
def copied(made: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """The ledger as a copy that may be changed, with its key."""
    with closing(sqlite3.connect(made.folder / "ledger.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("ledger.db", "ledger.db.key"):
        shutil.copy(made.folder / name, tmp_path / name)
    return SimpleNamespace(folder=tmp_path, path=tmp_path / "ledger.db", url=f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def verify(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    """Verify bytes at the terminal."""
    for name in ("GENGUARD_WATERMARK_KEY", "GENGUARD_MASTER_KEY", "GENGUARD_C2PA_ANCHORS", "GENGUARD_CONTENT_PRODUCER"):
        monkeypatch.delenv(name, raising=False)

    def run(data: bytes, *options: str, ledger: str = made.url, as_json: bool = True) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", "verify", "-", "--ledger", ledger, *options, *["--json"] * as_json])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out = capsys.readouterr().out
        report = json.loads(out) if as_json else {}
        near = next((one for one in report.get("traces", []) if one["kind"] == "nearest"), None)
        return SimpleNamespace(code=stopped.value.code, report=report, near=near, out=out)

    return run


def changed(name: str, change: Callable[[Image.Image], Image.Image] = lambda image: image, quality: int = 60) -> bytes:
    """A photograph scaled by half, changed, and saved as JPEG without any metadata."""
    image = Image.open(PHOTOS / f"{name}.jpg").convert("RGB")
    buffer = io.BytesIO()
    change(image.resize((image.width // 2, image.height // 2))).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def lower(image: Image.Image) -> Image.Image:
    return image.crop((0, image.height // 12, image.width, image.height))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image, ""),
        (ImageOps.mirror, "mirrored"),
        (lambda image: image.rotate(90, expand=True), "turned by 270 degrees"),
        (lower, "cut at the top"),
    ],
)
def test_a_copy_without_marks_is_like_a_released_image_and_unknown(made, verify, change, words):
    """Saved anew, smaller, mirrored, turned, cut: which image it looks like is said, how far, and that it proves nothing."""
    found = verify(changed("chapel", change))
    assert (found.code, found.report["answer"], found.report["entry"]) == (1, "unknown", None)
    near = found.near
    assert (near["standing"], near["ledger"], near["method"]) == ("candidate", "near", "both")
    assert near["entry"]["decision"] == str(made.chapel.decision.id)
    assert near["entry"]["index"] == made.chapel.receipt.index
    assert near["facts"]["distance"] <= near["facts"]["limit"]
    assert (near["facts"]["transform"], near["facts"]["count"]) == (words, 1)
    assert near["chance"] < 1e-4
    assert "no origin" in near["confidence"]
    said = found.report["words"]
    assert said.startswith("Nothing proves where this comes from. It looks like what was released here as entry ")
    assert f"distance of {near['facts']['distance']} bits, where up to {near['facts']['limit']} count" in said
    assert "looks alone prove neither" in said
    assert not [word for word in ("acme", "key-9", "subject-", "req-") if word in found.out]


def test_the_file_itself_is_ours_and_needs_no_likeness(made, verify):
    """An exact copy says all; nothing is compared."""
    found = verify(made.chapel.content.file)
    assert (found.code, found.report["answer"], found.near) == (0, "ours", None)


def test_another_picture_looks_like_none(verify):
    """That it was not found clears it of nothing."""
    found = verify(changed("pebbles"))
    assert (found.code, found.report["answer"]) == (1, "unknown")
    assert (found.near["standing"], found.near["entry"], found.near["ledger"]) == ("absent", None, "")
    assert "does not show who made it" in found.report["words"]


def test_people_read_it_too(verify):
    """In the answer and among what it rests on."""
    told = verify(changed("kitchen"), as_json=False).out
    assert told.startswith("unknown: Nothing proves where this comes from. It looks like")
    assert "  nearest    The nearest released image is that of entry" in told
    assert "ledger: near; very high that they show the same" in told


def test_a_picture_without_detail_is_not_compared(verify):
    """A note says so."""
    flat = io.BytesIO()
    Image.new("RGB", (200, 200), "white").save(flat, "PNG")
    found = verify(flat.getvalue())
    assert (found.code, found.near) == (1, None)
    assert "look alike could not be looked up: not matchable: the picture is flat" in str(found.report["notes"])


def test_what_was_erased_is_not_told_of_any_more(made, copied, verify):
    """Its row deleted, or its subject's key destroyed: also by a process that has read it before."""
    assert verify(changed("chapel"), ledger=copied.url).near["entry"]["index"] == made.chapel.receipt.index
    with closing(sqlite3.connect(copied.path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM fingerprint WHERE idx = ?", (made.chapel.receipt.index,))
        assert verify(changed("chapel"), ledger=copied.url).near["standing"] == "absent"
        assert verify(changed("kitchen"), ledger=copied.url).near["entry"]["index"] == made.kitchen.receipt.index
        connection.execute("DELETE FROM subject_key WHERE subject = 'subject-kitchen'")
    gone = verify(changed("kitchen"), ledger=copied.url)
    assert (gone.code, gone.near["standing"]) == (1, "absent")
    assert "No image that was released" in gone.near["says"]
    assert "No released image has a fingerprint" in verify(changed("kitchen"), ledger=copied.url).near["says"]


def test_memory_follows_what_was_erased(copied, verify, monkeypatch):
    """Even where nobody asks for that image again."""
    verify(changed("pebbles"), ledger=copied.url)
    memory = album.album((copied.url, identity(copied.path)), None)
    before = len(memory._released)
    assert before >= 12
    with closing(sqlite3.connect(copied.path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM fingerprint")
    verify(changed("pebbles"), ledger=copied.url)
    assert len(memory._released) == before
    monkeypatch.setattr(album, "FOLLOW_S", 0.0)
    verify(changed("pebbles"), ledger=copied.url)
    assert len(memory._released) == 0


def identity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT ledger FROM ledger").fetchone()[0]


def test_a_ledger_of_before_has_none_and_gains_them(made, copied, verify):
    """As a version made it that knew no fingerprints; what is released from now on is found."""
    with closing(sqlite3.connect(copied.path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE fingerprint")
        connection.execute("DROP TABLE schema_version")
    found = verify(changed("chapel"), ledger=copied.url)
    assert (found.code, found.near["says"]) == (1, "No released image has a fingerprint.")
    guard, ledger = open_guard([str(made.folder / "bare.yaml")], copied.url)
    with ledger:
        again = release(guard, "chapel")
    assert verify(changed("chapel"), ledger=copied.url).near["entry"]["decision"] == str(again.decision.id)
    assert kept_fingerprints(copied.url) == {again.receipt.index}


def test_new_releases_are_read_on_and_several_alike_are_counted(made, copied, verify):
    """The oldest is named; an older copy of the ledger put back is read anew."""
    kept = copied.path.read_bytes()
    assert verify(changed("chapel"), ledger=copied.url).near["facts"]["count"] == 1
    guard, ledger = open_guard([str(made.folder / "bare.yaml")], copied.url)
    with ledger:
        release(guard, "chapel", "req-2")
    both = verify(changed("chapel"), ledger=copied.url)
    assert both.near["facts"]["count"] == 2
    assert both.near["entry"]["index"] == made.chapel.receipt.index
    assert "2 released images are alike" in both.near["says"]
    for rest in copied.folder.glob("ledger.db-*"):
        rest.unlink()
    copied.path.write_bytes(kept)
    assert verify(changed("chapel"), ledger=copied.url).near["facts"]["count"] == 1


def test_the_operator_may_keep_none(made, tmp_path, monkeypatch):
    """GENGUARD_FINGERPRINTS=false."""
    monkeypatch.setenv("GENGUARD_FINGERPRINTS", "false")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    guard, ledger = open_guard([str(made.folder / "bare.yaml")], url)
    with ledger:
        release(guard, "chapel")
    assert kept_fingerprints(url) == frozenset()


def test_what_is_missing_is_told_and_names_no_file(made, tmp_path):
    """Without the master key nothing is compared; strangers are not told where it should be."""
    sources = Sources(made.url, key_file=tmp_path / "none.key", frank=False)
    report = judge(changed("chapel"), sources)
    assert "released images that look alike could not be looked up" in report.notes
    assert str(tmp_path) not in str(report)
    assert report.answer == "unknown"


def test_the_verifier_of_the_ledger_knows_them(made, monkeypatch, capsys):
    """`audit verify --fingerprints` makes each anew from the stored image."""
    monkeypatch.setattr(sys, "argv", ["genguard", "audit", "verify", "--fingerprints", "--ledger", made.url, "--json"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    report = json.loads(capsys.readouterr().out)
    assert (stopped.value.code, report["checked"]["fingerprints_compared"]) == (0, 2)


def test_it_never_overrules_a_mark(made):
    """A file that was made to claim a decision that never was is tampered with, whatever it looks like."""
    from guard.marks import xmp
    from guard.marks.aigc import PROPERTY
    from guard.marks.containers import read_xmp, write_xmp

    data = changed("chapel")
    value = json.dumps({"Label": "1", "ContentProducer": "Example Ltd", "ProduceID": "01900000-0000-7000-8000-0000a5c3f00f"})
    forged = write_xmp(data, xmp.put(read_xmp(data), PROPERTY, value))
    report = judge(forged, Sources(made.url, producer="Example Ltd"))
    assert (report.answer, report.entry) == ("tampered", None)
    assert [one.entry.index for one in report.traces if one.kind == "nearest"] == [made.chapel.receipt.index]
