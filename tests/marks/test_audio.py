"""Marks on WAV files: the AIGC chunk and a C2PA manifest, each read back from the file that leaves."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import c2pa
import pytest

from guard import sound
from guard.errors import InputError
from guard.marks import order
from guard.marks.aigc import read_aigc
from guard.marks.manifest import ASSERTION, State, read_credential
from guard.marks.reading import Standing, read_audio
from guard.rules import MarkSpec
from guard.types import Content, Mark, Modality, Operator, Origin, Request, Stage
from tests.fakes import marking
from tests.sounds import samples, wav

DECISION = UUID("01900000-0000-7000-8000-0000a5c3f00f")


def content(data: bytes | None = None) -> Content:
    return Content(Modality.AUDIO, data or wav(), "audio/wav", Stage.OUTPUT, Origin("audio"), Request("r", subject="s-1"))


def marked(operator: Operator, given: Content, *uses: str) -> tuple[Content, tuple[Mark, ...]]:
    plan = order.plan([MarkSpec(use, Modality.AUDIO) for use in uses], operator)
    return order.put_on(plan, given, marking(DECISION, given), lambda marker: marker.load())


def test_the_object_is_a_chunk_of_the_file(development: Operator) -> None:
    """Under the id `AIGC`, as JSON; the sound is untouched, and the standard library reads it."""
    file, (mark,) = marked(development, content(), "aigc")
    assert (mark.verified, mark.method, mark.payload) == (True, "riff", DECISION.hex)
    chunk = sound.chunk_of(file.file, b"AIGC")
    assert json.loads(chunk or b"") == {"Label": "1", "ContentProducer": "Test provider", "ProduceID": str(DECISION)}
    assert read_aigc(file.file) == json.loads(chunk or b"")
    with wave.open(io.BytesIO(file.file)) as reader:
        assert reader.readframes(10_000) == samples()


def test_it_stands_there_once_and_keeps_another_producer(development: Operator) -> None:
    """Marked again it is the same file; a file of another provider keeps that name, with ours as propagator."""
    once, _ = marked(development, content(), "aigc")
    again, _ = marked(development, once, "aigc")
    assert again.data == once.data
    other = json.dumps({"Label": "1", "ContentProducer": "Someone else", "ProduceID": "x-1"}).encode()
    passed, (mark,) = marked(development, content(sound.with_chunk(wav(), b"AIGC", other)), "aigc")
    found = read_aigc(passed.file) or {}
    assert mark.verified
    assert (found["ContentProducer"], found["ContentPropagator"], found["PropagateID"]) == (
        "Someone else",
        "Test provider",
        str(DECISION),
    )


def test_a_signed_file_says_how_it_came_to_be(chain: Callable[..., Any]) -> None:
    """Read by C2PA's own reader as `audio/wav`; our assertion names the decision and nobody who asked."""
    operator, root = chain()
    file, marks = marked(operator, content(), "aigc", "c2pa")
    assert [(mark.kind, mark.verified) for mark in marks] == [("aigc", True), ("c2pa", True)]
    with c2pa.Reader("audio/wav", io.BytesIO(file.file)) as reader:
        store = json.loads(reader.json())
    active = store["manifests"][store["active_manifest"]]
    (ours,) = [one["data"] for one in active["assertions"] if one["label"] == ASSERTION]
    assert ours["decision"] == str(DECISION)
    assert "s-1" not in json.dumps(store)
    assert read_credential(file.file, root).state is State.TRUSTED
    with wave.open(io.BytesIO(file.file)) as reader_:
        assert reader_.readframes(10_000) == samples()


def test_a_changed_sound_breaks_the_signature(development: Operator) -> None:
    """One sample, or one character of the object."""
    file, _ = marked(development, content(), "aigc", "c2pa")
    for at in (100, file.file.index(b"Test provider")):
        data = bytearray(file.file)
        data[at] ^= 1
        assert read_credential(bytes(data)).state is State.TAMPERED


def test_a_chunk_written_later_takes_the_manifest_out(development: Operator) -> None:
    """Rather than leave one that calls the file tampered."""
    file, _ = marked(development, content(), "c2pa")
    assert read_credential(sound.with_chunk(file.file, b"AIGC", b"{}")).state is State.ABSENT


def test_readers_tell_what_they_find(development: Operator) -> None:
    """In a marked file, an unmarked one, one with an object that is none, and bytes that are no sound."""
    file, _ = marked(development, content(), "aigc", "c2pa")
    assert [(one.kind, one.standing, one.decision) for one in read_audio(file.file)] == [
        ("c2pa", Standing.PROVEN, DECISION),
        ("aigc", Standing.FOUND, DECISION),
    ]
    assert {one.standing for one in read_audio(wav())} == {Standing.ABSENT}
    assert [one.standing for one in read_audio(sound.with_chunk(wav(), b"AIGC", b"no json"))][1] is Standing.BROKEN
    with pytest.raises(InputError, match="no WAV"):
        read_audio(b"no sound")


def test_a_mark_that_is_gone_is_told(development: Operator) -> None:
    """The file that leaves is read again, not believed."""
    file, (mark,) = marked(development, content(), "aigc")
    marker = order.make("aigc", {}, Modality.AUDIO, development)
    assert marker.reread(file, mark) == ""
    assert marker.reread(replace(file, data=wav()), mark)
