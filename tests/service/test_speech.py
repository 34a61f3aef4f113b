"""`/v1/audio/speech` and audio in all that comes after: the official client against a real service, then the record of it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from generators.audio import audio
from generators.function import FunctionGenerator
from guard.marks.aigc import read_aigc
from guard.types import Modality
from tests.service.running import TOKEN, Running, running
from tests.sounds import samples, wav
from tests.tiny_audio import vits

SPOKEN = """
policy: spoken
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000, stages: [prompt]}
  words:
    use: transcript
    deadline_ms: 60000
    members:
      people: {use: pii, languages: [en]}
rules:
  - {id: token, when: {secrets: GITHUB_TOKEN}, action: block, category: privacy, message: {en: A token was withheld.}}
  - {id: card, when: {words: CREDIT_CARD}, action: block, category: privacy, message: {en: Not said aloud.}}
  - {id: mail, when: {words: EMAIL_ADDRESS}, action: review, category: privacy}
"""
PRODUCER = "Example Ltd"
TONE = wav(0.2)


def speaks(text: str, *, speed: float = 1.0, voice: str = "first") -> bytes:
    """Says nothing of it, for a moment; slower and in another voice it sounds otherwise."""
    return wav(0.2 / speed, 9 if voice == "first" else 5)


def plays(text: str) -> bytes:
    """Makes a sound of which nobody knows any words."""
    return wav(0.2, 7)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Three generators of audio under a policy that judges what is said, and marks nothing."""
    folder = tmp_path_factory.mktemp("speech")

    def generators() -> dict[str, Any]:
        return {
            "tts": FunctionGenerator(speaks, name="tts", modality=Modality.AUDIO, says_prompt=True),
            "band": FunctionGenerator(plays, name="band", modality=Modality.AUDIO),
            "vits": audio(model=str(vits(folder / "vits")), device="cpu", name="vits", voices={"alloy": 0}),
        }

    with running(folder, generators, policy=SPOKEN) as service:
        yield service


def test_the_official_client_hears_what_it_asks_for(here: Running) -> None:
    """A real model behind it; the file opens, and the headers lead to its entry."""
    answer = here.client.audio.speech.with_raw_response.create(model="vits", voice="alloy", input="Hello there")
    with wave.open(io.BytesIO(answer.content)) as reader:
        assert (reader.getframerate(), reader.getsampwidth()) == (16_000, 2)
    assert answer.headers["content-type"] == "audio/wav"
    entry = here.entry(answer.headers["x-genguard-decision"])
    assert (entry["context"]["modality"], entry["context"]["stage"], entry["verdict"]["action"]) == ("audio", "output", "allow")
    assert entry["content"]["media_type"] == "audio/wav"
    assert entry["context"]["length"] == len(answer.content)
    index, leaf = answer.headers["x-genguard-receipt"].split(":")
    assert int(index) > 0
    assert len(leaf) == 64


def test_it_streams_to_a_file(here: Running, tmp_path: Path) -> None:
    """As the client's documentation shows, sync and async."""
    with here.client.audio.speech.with_streaming_response.create(model="tts", voice="first", input="Hello") as answer:
        answer.stream_to_file(tmp_path / "sync.wav")
    assert (tmp_path / "sync.wav").read_bytes() == TONE

    async def ask() -> bytes:
        async with AsyncOpenAI(base_url=f"{here.url}/v1", api_key="unused") as client:
            found = await client.audio.speech.create(model="tts", voice="first", input="Hello", response_format="wav")
            return bytes(found.content)

    assert asyncio.run(ask()) == TONE


def test_samples_alone_are_given_where_no_mark_is_lost(here: Running) -> None:
    """As `pcm`, with rate, channels and bits in the media type."""
    answer = here.http.post(
        "/v1/audio/speech", json={"model": "tts", "input": "Hello", "voice": "default", "response_format": "pcm"}
    )
    assert (answer.status_code, answer.content) == (200, samples(0.2))
    assert answer.headers["content-type"] == "audio/pcm;rate=8000;channels=1;bits=16"


def test_speed_and_voice_reach_the_generator(here: Running) -> None:
    """Where it takes them; 1 and `default` are what it does anyway."""
    fast = here.client.audio.speech.create(model="tts", voice="second", input="Hello", speed=2.0)
    assert fast.content == wav(0.1, 5)
    assert here.client.audio.speech.create(model="tts", voice="default", input="Hello", speed=1.0).content == TONE


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ({"response_format": "mp3"}, 400, "found response_format 'mp3', expected one of: wav, pcm"),
        ({"model": "echo"}, 404, "found another model, expected one of: tts, band, vits"),
        ({"model": "vits", "voice": "nova"}, 400, "expected one of: default, alloy"),
        ({"model": "vits", "input": "你好"}, 400, "no character that"),
        ({"model": "band", "speed": 2.0}, 400, "unknown parameter 'speed'"),
        ({"speed": 9.0}, 422, "speed"),
        ({"stream_format": "sse"}, 422, "stream_format"),
        ({"instructions": "whisper"}, 422, "instructions"),
    ],
)
def test_what_is_not_offered_is_refused_in_openais_shape(here: Running, given: dict[str, Any], status: int, told: str) -> None:
    """With what was expected, as the client's own exceptions."""
    asked = {"model": "tts", "voice": "default", "input": "Hello"} | given
    extra = {"stream_format": asked.pop("stream_format")} if "stream_format" in asked else {}
    with pytest.raises(openai.APIStatusError) as caught:
        here.client.audio.speech.create(**asked, extra_body=extra)
    assert caught.value.status_code == status
    assert told in caught.value.message
    assert isinstance(caught.value.body, dict)
    assert {"message", "type", "code", "param"} <= set(caught.value.body)


def test_a_blocked_prompt_is_never_said(here: Running) -> None:
    """The answer is an error with the rule's message and the evidence; nothing was made."""
    answer = here.http.post("/v1/audio/speech", json={"model": "tts", "input": f"My token is {TOKEN}"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["message"], error["code"], error["type"]) == (
        "A token was withheld.",
        "content_filter",
        "invalid_request_error",
    )
    evidence = answer.json()["genguard"]
    assert evidence["decision"] == answer.headers["x-genguard-decision"]
    assert here.entry(evidence["decision"])["context"]["stage"] == "prompt"
    with pytest.raises(openai.BadRequestError, match="A token was withheld"):
        here.client.audio.speech.create(model="tts", voice="first", input=f"My token is {TOKEN}")


@pytest.mark.parametrize(
    ("said", "rule", "action"), [("4111 1111 1111 1111", "card", "block"), ("maria@example.com", "mail", "review")]
)
def test_what_was_said_is_judged_as_the_output(here: Running, said: str, rule: str, action: str) -> None:
    """By the transcript; the entry names the rule, and never the words."""
    answer = here.http.post("/v1/audio/speech", json={"model": "tts", "input": f"Say {said} to them"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "content_filter")
    entry = here.entry(answer.headers["x-genguard-decision"])
    assert (entry["context"]["modality"], entry["verdict"]["action"]) == ("audio", action)
    assert [one["rule"] for one in entry["verdict"]["fired"]] == [rule]
    assert "released" not in entry
    assert said not in json.dumps(entry)


def test_a_sound_without_known_words_does_not_pass(here: Running) -> None:
    """The check read nothing, so its `on_failure` speaks; so it does for a file that was made elsewhere."""
    answer = here.http.post("/v1/audio/speech", json={"model": "band", "input": "A waltz"})
    assert answer.status_code == 400
    assert [one["rule"] for one in answer.json()["genguard"]["rules"]] == ["check:words"]
    assert "it read nothing" in answer.json()["genguard"]["rules"][0]["because"]
    checked = here.http.post("/v1/check", json={"audio": base64.b64encode(TONE).decode()}).json()
    assert (checked["action"], checked["audio"]) == ("block", None)


def test_audio_is_checked_where_images_are(here: Running) -> None:
    """What is no WAV file, or not under its name, is refused and recorded as audio."""
    wrong = base64.b64encode(b"ID3 no sound").decode()
    answer = here.http.post("/v1/check", json={"audio": wrong})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "input-unreadable")
    entry = here.entry(answer.headers["x-genguard-decision"])
    assert (entry["context"]["modality"], "content" in entry) == ("audio", False)
    assert here.http.post("/v1/check", json={"image": base64.b64encode(TONE).decode()}).status_code == 400
    both = here.http.post("/v1/check", json={"audio": wrong, "text": "x"})
    assert "exactly one of `text`, `image` and `audio`" in both.text


def test_models_are_listed_with_what_they_make(here: Running) -> None:
    """And decisions on audio are found by it."""
    listed = {one["id"]: one["modality"] for one in here.http.get("/v1/models").json()["data"]}
    assert {name: listed[name] for name in ("tts", "band", "vits", "echo")} == {
        "tts": "audio",
        "band": "audio",
        "vits": "audio",
        "echo": "text",
    }
    assert {row["modality"] for row in here.rows("modality:audio")} == {"audio"}


@pytest.fixture(scope="module")
def marking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The same, with marks."""
    marks = "marks: {metadata: [aigc, iptc], label: {profile: plain}}\n"

    def generators() -> dict[str, Any]:
        return {"tts": FunctionGenerator(speaks, name="tts", modality=Modality.AUDIO, says_prompt=True)}

    folder = tmp_path_factory.mktemp("marked")
    with running(folder, generators, policy=SPOKEN + marks, content_producer=PRODUCER) as service:
        yield service


def verified(here: Running, data: bytes) -> dict[str, Any]:
    answer = here.http.post("/v1/verify", json={"audio": base64.b64encode(data).decode()})
    return dict(answer.raise_for_status().json())


def test_a_marked_sound_leads_back_to_its_entry(marking: Running) -> None:
    """By the copy and by its chunk; the same object on another sound is told as forged."""
    answer = marking.client.audio.speech.with_raw_response.create(model="tts", voice="first", input="Hello")
    decision = answer.headers["x-genguard-decision"]
    assert (read_aigc(answer.content) or {})["ProduceID"] == decision
    assert [mark["kind"] for mark in marking.entry(decision)["marks"]] == ["aigc"]
    found = verified(marking, answer.content)
    assert (found["answer"], found["modality"], found["entry"]["decision"]) == ("ours", "audio", decision)
    assert {one["kind"]: one["standing"] for one in found["traces"]} == {"copy": "proven", "c2pa": "absent", "aigc": "found"}
    louder = bytearray(answer.content)
    louder[100] ^= 1
    assert (verified(marking, bytes(louder))["answer"], verified(marking, TONE)["answer"]) == ("unknown", "unknown")
    assert verified(marking, bytes(louder))["entry"]["decision"] == decision


def test_samples_alone_are_refused_where_the_policy_marks(marking: Running) -> None:
    """Before anything is made: they could not carry the mark."""
    before = len(marking.rows(""))
    answer: httpx.Response = marking.http.post(
        "/v1/audio/speech", json={"model": "tts", "input": "Hello", "response_format": "pcm"}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "response_format")
    assert "(aigc)" in answer.json()["error"]["message"]
    assert len(marking.rows("")) == before
