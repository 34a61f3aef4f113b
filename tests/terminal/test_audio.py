"""Audio from the terminal: made, judged, marked, recorded, verified, exported."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from guard import sound
from tests.service.running import TOKEN
from tests.sounds import wav
from tests.tiny_audio import vits

POLICY = """policy: spoken
version: 1
status: live
checks:
  words: {use: transcript, deadline_ms: 60000, members: {keys: {use: secrets}}}
rules:
  - {id: token, when: {words: GITHUB_TOKEN}, action: block, category: privacy, basis: {house: House rules 4}}
marks: {metadata: [aigc], c2pa: true}
"""
Run = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(vits(tmp_path_factory.mktemp("models") / "vits"))


@pytest.fixture
def spoken(genguard: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Commands under that policy, by a named provider with a certificate."""
    (tmp_path / "spoken.yaml").write_text(POLICY, "utf-8")
    made = json.loads(genguard("marks", "dev-cert", "--json").out)
    monkeypatch.setenv("GENGUARD_CONTENT_PRODUCER", "Example Ltd")
    monkeypatch.setenv("GENGUARD_C2PA_CERTIFICATE", made["certificate"])
    monkeypatch.setenv("GENGUARD_C2PA_KEY", made["key"])
    return genguard


def test_speech_is_made_and_leads_back_to_its_entry(spoken: Run, model: str, tmp_path: Path) -> None:
    """A file that players open, marked twice; `verify` finds its entry, and the ledger is sound.

    A changed sound does not fit its manifest, an object in this provider's name leads nowhere: both are told.
    """
    asked = ("generate", "audio", "--model", model, "--policy", "spoken.yaml", "--seed", "3")
    made = spoken(*asked, "--prompt", "Hello there", "--out", "x.wav", "--json")
    assert made.code == 0
    told = json.loads(made.out)
    assert (told["action"], told["text"], [mark["kind"] for mark in told["genguard"]["marks"]]) == (
        "allow",
        None,
        ["aigc", "c2pa"],
    )
    with wave.open(str(tmp_path / "x.wav")) as reader:
        assert reader.getframerate() == 16_000
    verified = spoken("verify", "x.wav", "--json")
    assert verified.code == 0
    report = json.loads(verified.out)
    assert (report["answer"], report["modality"], report["entry"]["decision"]) == (
        "ours",
        "audio",
        told["genguard"]["decision"],
    )
    assert "comes from here" in spoken("verify", "x.wav").out
    assert spoken("audit", "verify").out.startswith("sound")
    shown = spoken("audit", "show", told["genguard"]["decision"])
    assert "audio output of audio" in shown.out
    revealed = json.loads(spoken("audit", "show", told["genguard"]["decision"], "--reveal", "--reason", "case 1", "--json").out)
    assert [(one["part"], one["media_type"]) for one in revealed["payloads"]] == [
        ("original", "audio/wav"),
        ("released", "audio/wav"),
    ]
    assert revealed["rederived"] == "same"
    data, chunk = bytearray((tmp_path / "x.wav").read_bytes()), '{"Label":"1","ContentProducer":"Example Ltd","ProduceID":"%s"}'
    data[80] ^= 1
    (tmp_path / "changed.wav").write_bytes(data)
    (tmp_path / "other.wav").write_bytes(wav())
    (tmp_path / "forged.wav").write_bytes(sound.with_chunk(wav(), b"AIGC", (chunk % uuid4()).encode()))
    assert [spoken("verify", f"{name}.wav").code for name in ("changed", "other", "forged")] == [2, 1, 2]


def test_what_may_not_be_said_is_blocked_and_exported(spoken: Run, model: str, tmp_path: Path) -> None:
    """Nothing is written; statements of reasons say that it was audio."""
    asked = ("generate", "audio", "--model", model, "--policy", "spoken.yaml", "--out", "x.wav")
    blocked = spoken(*asked, "--prompt", f"It is {TOKEN} of course")
    assert (blocked.code, (tmp_path / "x.wav").exists()) == (30, False)
    assert TOKEN not in blocked.out + blocked.err
    found = json.loads(spoken("audit", "query", "modality:audio action:block", "--json").out)
    assert len(found["decisions"]) == 1
    assert spoken("audit", "export", "dsa.json", "modality:audio", "--format", "dsa").code == 0
    assert b"CONTENT_TYPE_AUDIO" in (tmp_path / "dsa.json").read_bytes()


def test_audio_needs_a_file_and_an_own_check(spoken: Run, model: str, tmp_path: Path) -> None:
    """Without --out it is a usage error; a file from elsewhere has no known words; no check of `desk` reads audio at all."""
    assert spoken("generate", "audio", "--model", model, "--policy", "spoken.yaml", "--prompt", "Hello").code == 64
    (tmp_path / "x.wav").write_bytes(wav())
    unread = spoken("check", "x.wav", "--policy", "spoken.yaml")
    assert (unread.code, "it read nothing" in unread.err) == (30, True)
    unknown = spoken("check", "x.wav", "--policy", "desk.yaml")
    assert unknown.code == 30
    assert "no check of this policy reads audio" in unknown.err
