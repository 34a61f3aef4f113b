"""`genguard verify`: what comes from here, what was changed, what is forged, and what nobody can say."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
from PIL import Image

import cli
from audit.query import show
from guard.marks import xmp
from guard.marks.aigc import PROPERTY
from guard.marks.certificate import make_development
from guard.marks.containers import read_xmp, write_xmp
from guard.marks.key import make_watermark_key, read_watermark_key
from guard.types import Operator, Request
from serving.wiring import open_guard

LINE = "本内容由人工智能生成。"
PRODUCER = "Example Ltd"
TEXT = "The harbour opens at six in the morning, and the last boat leaves at nine."
PHOTO = Path(__file__).parents[1] / "data" / "photos" / "chapel.jpg"
POLICY = """
policy: {name}
version: 1
status: live
checks:
  secrets: {{use: secrets, deadline_ms: 60000}}
  works: {{use: image_match, bank: protected-works, deadline_ms: 60000}}
rules:
  - {{id: key, when: {{secrets: any}}, action: block}}
  - {{id: work, when: {{works: matched}}, action: block}}
marks: {marks}
"""
ALL = "{watermark: {image: true}, c2pa: true, metadata: [iptc, aigc], label: {profile: gb45438}}"
HIDDEN = "{watermark: {image: true}}"
KEYLESS = ("--watermark-key-file", "none.key")
"""Spares the search for a watermark where it is not what is tested."""
STUBBORN = UUID("01900000-0000-7000-8000-000099c0e5bd")
"""A decision whose end rivaGan does not embed into the photograph in one pass."""
PLAIN = "{watermark: {image: {method: dwtDctSvd}}}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A ledger with what was released under three policies, and the folder it lies in."""
    folder = tmp_path_factory.mktemp("verify")
    certificate, key, root = make_development(folder)
    url = f"sqlite:///{folder / 'ledger.db'}"
    found = SimpleNamespace(folder=folder, url=url, root=root, ids={})
    photo = PHOTO.read_bytes()
    for name, marks in (("hidden", HIDDEN), ("plain", PLAIN), ("all", ALL)):
        (folder / f"{name}.yaml").write_text(POLICY.format(name=name, marks=marks), "utf-8")
        operator = Operator(PRODUCER, certificate, key, _key(folder))
        guard, ledger = open_guard([str(folder / f"{name}.yaml")], url, operator=operator)
        with ledger:
            image = guard.check_sync(photo, request=Request(f"req-{name}", "acme", "key-9", "subject-3"))
            text = guard.check_sync(TEXT + f" {name}", request=Request(f"req-{name}"))
            blocked = guard.check_sync("password: Kq7xPz29vv", request=Request("req-b"))
        assert image.content is not None, image.verdict.explanation
        assert text.content is not None
        (folder / f"{name}.png").write_bytes(image.content.file)
        (folder / f"{name}.txt").write_text(text.content.text, "utf-8")
        found.ids |= {f"{name}.png": image.decision.id, f"{name}.txt": text.decision.id, "blocked": blocked.decision.id}
    return found


def _key(folder: Path) -> bytes:
    file = folder / "ledger.db.watermark.key"
    return read_watermark_key(file) if file.exists() else make_watermark_key(file)


@pytest.fixture
def verify(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    """Verify bytes; gives exit code, report and standard error."""
    for name in ("GENGUARD_WATERMARK_KEY", "GENGUARD_MASTER_KEY", "GENGUARD_C2PA_ANCHORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GENGUARD_CONTENT_PRODUCER", PRODUCER)

    def run(data: bytes | str, *options: str, ledger: str = made.url, as_json: bool = True) -> SimpleNamespace:
        raw = data.encode() if isinstance(data, str) else data
        monkeypatch.setattr(sys, "argv", ["genguard", "verify", "-", "--ledger", ledger, *options, *["--json"] * as_json])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        report = json.loads(written.out) if as_json and written.out else {}
        traces = {one["kind"]: one for one in reversed(report.get("traces", []))}
        return SimpleNamespace(code=stopped.value.code, report=report, traces=traces, out=written.out, err=written.err)

    return run


def hurt(data: bytes) -> bytes:
    """JPEG at quality 75, a tenth cut off each way, no metadata."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    buffer = io.BytesIO()
    cut = image.crop((width // 20, height // 20, width - width // 20, height - height // 20))
    cut.save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def with_aigc(data: bytes, producer: str, number: object) -> bytes:
    value = json.dumps({"Label": "1", "ContentProducer": producer, "ProduceID": str(number)})
    return write_xmp(data, xmp.put(read_xmp(data), PROPERTY, value))


def plain_photo() -> bytes:
    """A picture that nobody marked."""
    buffer = io.BytesIO()
    Image.open(PHOTO).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["hidden.png", "plain.png", "all.png", "hidden.txt", "all.txt"])
def test_what_was_released_leads_to_its_entry(made, verify, name):
    """As it left: exit code 0, and a copy is certain."""
    found = verify((made.folder / name).read_bytes())
    assert (found.code, found.report["answer"]) == (0, "ours")
    entry = found.report["entry"]
    assert (entry["decision"], entry["released"]) == (str(made.ids[name]), True)
    assert (entry["index"], entry["policy"]) == (show(made.url, made.ids[name]).idx, name.split(".", maxsplit=1)[0])
    assert found.traces["copy"]["confidence"] == "certain"
    if name == "all.png":
        assert {kind: one["ledger"] for kind, one in found.traces.items()} == {
            "copy": "found", "watermark": "found", "c2pa": "found", "aigc": "found", "iptc": "", "label": "",
        }  # fmt: skip
    assert not [word for word in ("acme", "key-9", "subject-3", "req-", "harbour") if word in found.out]


@pytest.mark.parametrize("name", ["hidden.png", "all.png"])
def test_an_image_that_was_compressed_cut_and_stripped_is_still_found(made, verify, name):
    """The watermark leads there, and says how it was changed."""
    found = verify(hurt((made.folder / name).read_bytes()))
    assert (found.code, found.report["answer"]) == (0, "ours, changed")
    assert found.report["entry"]["decision"] == str(made.ids[name])
    assert "cut or scaled" in found.report["words"]
    mark = found.traces["watermark"]
    assert (mark["standing"], mark["ledger"]) == ("found", "found")
    assert mark["chance"] < 1e-20
    assert found.traces["copy"]["standing"] == "absent"


def test_a_mark_without_a_key_counts_only_as_far_as_chance_allows(made, verify):
    """Saved anew it is a candidate that the ledger knows; on another picture the same reader gives one that it does not."""
    image = Image.open(made.folder / "plain.png")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    found = verify(buffer.getvalue(), *KEYLESS)
    marks = [one for one in found.report["traces"] if one["kind"] == "watermark"]
    assert (found.code, found.report["answer"]) == (0, "ours, changed")
    assert found.report["entry"]["decision"] == str(made.ids["plain.png"])
    plain = next(one for one in marks if one["method"] == "dwtDctSvd")
    entries = show(made.url, 0).tree_size
    assert plain["chance"] == pytest.approx(entries / 2**32)
    assert "no key" in plain["confidence"]
    other = verify(plain_photo())
    assert (other.code, other.report["answer"], other.report["entry"]) == (1, "unknown", None)


def test_the_slow_method_is_looked_for_where_policies_use_it_and_nothing_else_tells(tmp_path, verify, monkeypatch):
    """Of an image that is small enough; of a larger one it is said that nobody looked."""
    monkeypatch.setattr("guard.pipeline.uuid7", lambda: STUBBORN)
    url, file = f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "slow.yaml"
    file.write_text(POLICY.format(name="slow", marks="{watermark: {image: {method: rivaGan}}}"), "utf-8")
    buffer = io.BytesIO()
    Image.open(PHOTO).resize((256, 256)).save(buffer, "PNG")
    guard, ledger = open_guard([str(file)], url)
    with ledger:
        release = guard.check_sync(buffer.getvalue(), request=Request("req"))
    assert release.content is not None, release.verdict.explanation
    again = io.BytesIO()
    Image.open(io.BytesIO(release.content.file)).save(again, "PNG", compress_level=1)
    found = verify(again.getvalue(), *KEYLESS, ledger=url)
    assert found.report["answer"] == "ours, changed"
    assert found.report["entry"]["decision"] == str(release.decision.id)
    assert found.traces["watermark"]["method"] == "rivaGan"
    large = io.BytesIO()
    Image.open(PHOTO).resize((800, 600)).save(large, "PNG")
    found = verify(large.getvalue(), *KEYLESS, ledger=url)
    assert found.report["answer"] == "unknown"
    assert any("rivaGan were not looked for: found 480,000 pixels" in note for note in found.report["notes"])


def test_text_is_found_whatever_became_of_its_white_space_and_label(made, verify):
    """Another word is another text; that it is unknown does not clear it."""
    for text in (f"  {TEXT.replace(' ', chr(10), 3)} all", f"{TEXT} all\n\n{LINE}  \n", f"{TEXT} all"):
        found = verify(text)
        assert (found.code, found.report["answer"]) == (0, "ours, changed"), text
        assert found.report["entry"]["decision"] == str(made.ids["all.txt"])
    other = verify(f"{TEXT} none")
    assert (other.code, other.report["answer"]) == (1, "unknown")
    assert "does not show who made it" in other.report["words"]


def test_a_label_in_the_operators_own_words_is_not_read_for_a_watermark(made, verify, tmp_path):
    """The ledger's policies say what it reads; another ledger does not know it."""
    line = "Written by a machine at Example Ltd, and read by nobody before it reached you."
    prose = " ".join(f"{TEXT} In winter it opens {number} minutes later, unless the tide is out." for number in range(9))
    marks = f"{{label: {{profile: plain, text: {{en: '{line}'}}}}}}"
    (tmp_path / "own.yaml").write_text(POLICY.format(name="own", marks=marks), "utf-8")
    url = f"sqlite:///{tmp_path / 'own.db'}"
    guard, ledger = open_guard([str(tmp_path / "own.yaml")], url)
    with ledger:
        guard.check_sync(TEXT, request=Request("r", language="en"))
    key = ("--watermark-key-file", str(made.folder / "ledger.db.watermark.key"))
    plain, labelled = (verify(text, *key, ledger=url).traces["words"] for text in (prose, f"{prose}\n\n{line}"))
    assert plain["facts"]["tokens"] > 40
    assert labelled["facts"] == plain["facts"]
    assert verify(f"{prose}\n\n{line}", *key).traces["words"]["facts"]["tokens"] > plain["facts"]["tokens"]


def test_a_text_that_anyone_could_write_is_told_as_such(made, verify, tmp_path):
    """The ledger has it; that is worth little."""
    guard, ledger = open_guard([str(made.folder / "hidden.yaml")], f"sqlite:///{tmp_path / 'short.db'}")
    with ledger:
        for _ in range(2):
            guard.check_sync("Hello there.", request=Request("r"))
    found = verify("Hello there.", ledger=f"sqlite:///{tmp_path / 'short.db'}")
    assert (found.code, found.report["same"]["count"], len(found.report["same"]["decisions"])) == (0, 2, 2)
    assert "low" in found.traces["copy"]["confidence"]
    assert "anyone could have written it" in found.report["words"]


def test_metadata_that_names_what_never_was_is_forged(made, verify):
    """No such decision, one that was withheld, one of a text, one whose image bears another watermark, no number at all."""
    picture, nobody = plain_photo(), "01900000-0000-7000-8000-0000a5c3f00f"
    for number, why in (
        (nobody, "that this ledger does not have"),
        (made.ids["blocked"], "that released nothing"),
        (made.ids["all.txt"], "on a text"),
        (made.ids["hidden.png"], "whose output got no such mark"),
        ("x-17", "with no decision's number"),
    ):
        found = verify(with_aigc(picture, PRODUCER, number), *KEYLESS)
        assert (found.code, found.report["answer"], found.traces["aigc"]["ledger"]) == (2, "tampered", "forged"), number
        assert why in found.report["words"]
    swapped = verify(with_aigc(hurt((made.folder / "hidden.png").read_bytes()), PRODUCER, made.ids["all.png"]))
    assert (swapped.code, swapped.traces["aigc"]["ledger"]) == (2, "forged")
    assert "another watermark" in swapped.report["words"]
    assert "something in it comes from here" in swapped.report["words"]


def test_metadata_alone_proves_nothing(made, verify, monkeypatch):
    """A true number on another picture is a claim; another provider's object says nothing of us."""
    claim = verify(with_aigc(plain_photo(), PRODUCER, made.ids["all.png"]), *KEYLESS)
    assert (claim.code, claim.report["answer"], claim.traces["aigc"]["ledger"]) == (1, "unknown", "found")
    assert claim.report["entry"]["decision"] == str(made.ids["all.png"])
    assert "no proof" in claim.report["words"]
    other = verify(with_aigc(plain_photo(), "Someone else", made.ids["all.png"]), *KEYLESS)
    assert (other.code, other.report["entry"]) == (1, None)
    monkeypatch.delenv("GENGUARD_CONTENT_PRODUCER")
    unnamed = verify(with_aigc(plain_photo(), PRODUCER, made.ids["all.png"]), *KEYLESS)
    assert (unnamed.code, unnamed.traces["aigc"]["ledger"]) == (1, "found")


def test_a_changed_byte_after_signing_is_told(made, verify):
    """The watermark still leads to the entry, and the answer says both."""
    data = bytearray((made.folder / "all.png").read_bytes())
    place = len(data) - 2000
    data[place] ^= 1
    found = verify(bytes(data))
    assert (found.code, found.report["answer"]) == (2, "tampered")
    assert found.traces["c2pa"]["standing"] == "broken"


def test_a_manifest_that_someone_else_signed_for_our_decision_is_forged(made, verify, tmp_path):
    """Sound by itself; but this decision released another file."""
    from uuid import uuid4

    from guard.marks import order
    from guard.types import CALLER, Content, Modality, Stage
    from tests.fakes import marking

    certificate, key, root = make_development(tmp_path)
    given = Content(Modality.IMAGE, plain_photo(), "image/png", Stage.OUTPUT, CALLER, Request("r"))
    identity = show(made.url, 0).body["ledger"]

    def signed(decision: object, ledger: str) -> bytes:
        marker = order.make("c2pa", {}, Modality.IMAGE, Operator("", certificate, key))
        content, mark = marker(given, marking(decision, given, ledger=ledger))
        assert mark.verified
        return content.file

    for decision, why in ((made.ids["all.png"], "whose released file is another one"), (uuid4(), "does not have")):
        found = verify(signed(decision, identity), "--anchors", str(root), *KEYLESS)
        assert (found.code, found.traces["c2pa"]["ledger"]) == (2, "forged")
        assert why in found.report["words"]
    elsewhere = verify(signed(uuid4(), "another ledger"), *KEYLESS)
    assert (elsewhere.code, elsewhere.traces["c2pa"]["standing"]) == (1, "proven")
    assert "names another ledger" in elsewhere.traces["c2pa"]["says"]


def test_a_mark_that_no_entry_knows_is_told_apart_from_none(made, verify, tmp_path):
    """The key reads it in another ledger too; a wrong key reads nothing."""
    _, ledger = open_guard([str(made.folder / "hidden.yaml")], f"sqlite:///{tmp_path / 'other.db'}")
    ledger.close()
    data = hurt((made.folder / "hidden.png").read_bytes())
    mine = str(made.folder / "ledger.db.watermark.key")
    strange = verify(data, "--watermark-key-file", mine, ledger=f"sqlite:///{tmp_path / 'other.db'}")
    assert (strange.code, strange.traces["watermark"]["ledger"]) == (1, "not found")
    assert "a number that this ledger does not have" in strange.report["words"]
    wrong = verify(data, "--watermark-key-file", str(tmp_path / "other.db.watermark.key"))
    assert (wrong.code, wrong.traces["watermark"]["standing"]) == (1, "absent")


def test_entries_of_before_are_found_by_their_watermark(made, verify, tmp_path, monkeypatch):
    """They have no tags of copies: whether the file was changed since is not known."""
    monkeypatch.setattr("audit.ledger.copy_tags", lambda _vault, _decision: {})
    url = f"sqlite:///{tmp_path / 'old.db'}"
    guard, ledger = open_guard([str(made.folder / "hidden.yaml")], url)
    with ledger:
        release = guard.check_sync(PHOTO.read_bytes(), request=Request("r"))
    found = verify(release.content.file, ledger=url)
    assert (found.code, found.report["answer"]) == (0, "ours")
    assert found.traces["copy"]["standing"] == "absent"


@pytest.mark.parametrize("missing", ["ledger", "keys"])
def test_what_is_missing_is_said_and_the_rest_is_answered(made, verify, tmp_path, missing):
    """C2PA and AIGC need neither ledger nor keys."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if missing == "keys":
        shutil.copy(made.folder / "ledger.db", tmp_path / "ledger.db")
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((made.folder / "all.png").read_bytes())
    found = verify(bytes(data), ledger=url)
    assert found.code == 1
    assert found.traces["c2pa"]["standing"] == "proven"
    assert "no watermark could be looked for" in " ".join(found.report["notes"])
    expected = "there is no ledger" if missing == "ledger" else "the master key is not here"
    assert expected in " ".join(found.report["notes"])
    data[-2000] ^= 1
    assert verify(bytes(data), ledger=url).code == 2
    assert verify(TEXT, ledger=url).code == 1


def test_garbage_is_refused_or_unknown(verify):
    """Neither text nor image nor sound is a usage error; a damaged file has no marks."""
    assert verify(b"\x00\xff\xfe\x81").code == 64
    assert verify(b"RIFF0000AVI ").code == 64
    assert verify(b"RIFF0000WAVE").code == 1
    damaged = verify(plain_photo()[:3000])
    assert (damaged.code, damaged.report["answer"]) == (1, "unknown")
    for nothing in ("", " \n"):
        assert verify(nothing).code == 1


def test_people_get_sentences_and_no_control_characters(made, verify):
    """The answer first, the entry, what it rests on; a file's own words cannot steer the terminal."""
    told = verify((made.folder / "all.png").read_bytes(), as_json=False).out
    assert told.startswith("ours: This comes from here: entry ")
    assert str(made.ids["all.png"]) in told
    assert "What this rests on:" in told
    trick = verify(with_aigc(plain_photo(), PRODUCER, "\x1b[2J[red]"), *KEYLESS, as_json=False)
    assert trick.code == 2
    assert "\x1b" not in trick.out


def test_the_search_keeps_to_its_time(made):
    """What was not searched is said."""
    from serving.verification import Sources
    from serving.verification import verify as judge

    key = _key(made.folder)
    report = judge(plain_photo(), Sources(made.url, watermark_key=key, seconds=0.0))
    assert "watermark: the search was ended after 0 s" in report.notes
    whole = judge((made.folder / "all.png").read_bytes(), Sources(made.url, watermark_key=key, seconds=0.0))
    assert whole.answer == "ours"
