"""Speech and music from tiny models in Hugging Face's format: what they take, what they say of it, and how they end."""

from __future__ import annotations

import asyncio
import io
import threading
import time
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from generators.audio import AudioGenerator, audio
from generators.audio_model import AudioModel
from generators.function import FunctionGenerator
from generators.residency import RESIDENCY
from guard import sound
from guard.errors import GenerationError, InputError, ModelError, ParameterError, TooLargeError
from guard.models import write_manifest
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.sounds import wav
from tests.tiny_audio import musicgen, vits


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("audio")
    made = {"single": vits(folder / "single"), "voices": vits(folder / "voices", speakers=3)}
    return made | {"music": musicgen(folder / "music")}


@pytest.fixture(scope="module")
def speech(folders: Mapping[str, Path]) -> AudioGenerator:
    made = audio(model=str(folders["voices"]), device="cpu", warm=True, voices={"alloy": 2})
    assert isinstance(made, AudioGenerator)
    return made


@pytest.fixture(scope="module")
def music(folders: Mapping[str, Path]) -> AudioGenerator:
    made = audio(model=str(folders["music"]), device="cpu", warm=True, name="music")
    assert isinstance(made, AudioGenerator)
    return made


def prompt(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request("r"))


def made(generator: Any, *texts: str, **parameters: Any) -> list[Content]:
    async def gather() -> list[Content]:
        return [content async for _, content in generator([prompt(text) for text in texts], parameters)]

    return asyncio.run(gather())


def test_speech_is_a_wav_file_that_says_its_prompt(speech: AudioGenerator) -> None:
    """16 bits at the model's rate; the prompt is its transcript."""
    speech.load()
    (content,) = made(speech, "Hello there", seed=4)
    with wave.open(io.BytesIO(content.file)) as reader:
        assert (reader.getframerate(), reader.getsampwidth(), reader.getnchannels()) == (16_000, 2, 1)
        assert any(reader.readframes(100_000))
    assert (content.modality, content.media_type, content.stage) == (Modality.AUDIO, "audio/wav", Stage.OUTPUT)
    assert content.transcript == "Hello there"


def test_speed_and_voice_change_what_is_heard(speech: AudioGenerator) -> None:
    """Twice as fast takes about half as long; a speaker is found by number and by the name that the operator gave."""
    slow, fast = (made(speech, "Hello there, and good morning", seed=4, speed=speed)[0] for speed in (0.5, 2.0))
    assert sound.identify(slow.file).seconds > 2 * sound.identify(fast.file).seconds
    voices = [made(speech, "Hello", seed=4, voice=voice)[0].data for voice in ("default", "0", "1", "2", "alloy")]
    assert voices[0] == voices[1]
    assert voices[3] == voices[4]
    assert len(set(voices)) == 3


def test_music_plays_as_long_as_it_is_asked_to(music: AudioGenerator) -> None:
    """Each output with its own seed; nobody knows any words of it."""
    music.load()
    outputs = made(music, "a slow waltz", seconds=0.2, n=2, seed=4, guidance_scale=2.0, temperature=0.9)
    assert [sound.identify(one.file).seconds for one in outputs] == [0.2, 0.2]
    assert outputs[0].data != outputs[1].data
    assert [one.transcript for one in outputs] == ["", ""]
    (again,) = made(music, "a slow waltz", seconds=0.2, seed=5, guidance_scale=2.0, temperature=0.9)
    assert again.data == outputs[1].data
    parameters = dict(outputs[1].origin.parameters)
    assert parameters == {"seconds": "0.2", "seed": "5", "guidance_scale": "2.0", "temperature": "0.9"}


def test_a_seed_leaves_the_randomness_of_others_alone(speech: AudioGenerator) -> None:
    """PyTorch's own source goes on as if nothing had been drawn from it."""
    import torch

    torch.manual_seed(8)
    wanted = torch.rand(3).tolist()
    torch.manual_seed(8)
    made(speech, "Hello", seed=4)
    assert torch.rand(3).tolist() == wanted


@pytest.mark.parametrize(
    ("which", "given", "told"),
    [
        ("speech", {"voice": "nobody"}, "expected one of: default, 0, 1, 2, alloy"),
        ("speech", {"seconds": 1.0}, "'seconds' is not taken"),
        ("speech", {"speed": 9.0}, "found 9.0, expected 0.25 to 4.0"),
        ("music", {"voice": "default"}, "'voice' is not taken"),
        ("music", {"speed": 2.0}, "'speed' is not taken"),
        ("music", {"seconds": 5.0}, "found 5, expected at most 0.5 s"),
    ],
)
def test_what_a_model_does_not_take_is_refused(
    which: str, given: Mapping[str, Any], told: str, request: pytest.FixtureRequest
) -> None:
    """Rather than ignored."""
    with pytest.raises(ParameterError, match=told):
        made(request.getfixturevalue(which), "Hello", **given)


def test_a_prompt_that_cannot_be_said_is_refused(speech: AudioGenerator) -> None:
    """Too long, or with no letter that the model knows: before anything is made, and without its words."""
    with pytest.raises(TooLargeError, match="found 4097 characters"):
        made(speech, "Hello", "a" * 4097)
    with pytest.raises(InputError, match="prompt 1: found no character that") as caught:
        made(speech, "Hello", "你好")
    assert "你好" not in str(caught.value)
    picture = Content(Modality.IMAGE, b"", "image/png", Stage.PROMPT, CALLER, Request("r"))

    async def first() -> None:
        await anext(speech([picture], {}))

    with pytest.raises(InputError, match="found image, expected text"):
        asyncio.run(first())


def test_a_caller_who_leaves_stops_music_in_the_middle(music: AudioGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is free again long before its last step."""
    begun, ended, steps = threading.Event(), threading.Event(), list[int]()
    play = AudioModel._played

    def played(self: AudioModel, given: Any, asked: Any, left: Any) -> Any:
        def watched() -> bool:
            steps.append(1)
            begun.set()
            until = time.monotonic() + 60
            while len(steps) == 3 and not left() and time.monotonic() < until:
                time.sleep(0.01)
            return bool(left())

        try:
            return play(self, given, asked, watched)
        finally:
            ended.set()

    monkeypatch.setattr(AudioModel, "_played", played)

    async def leave() -> None:
        task = asyncio.ensure_future(anext(music([prompt("a waltz")], {"seconds": 0.4, "seed": 1})))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 60)

    asyncio.run(leave())
    assert len(steps) < 20
    monkeypatch.undo()
    assert len(made(music, "a waltz", seconds=0.1)) == 1


def test_models_make_room_for_one_another(folders: Mapping[str, Path]) -> None:
    """As the limit of resident models says; a freed one is loaded again."""
    one, other = (audio(model=str(folders["single"]), device="cpu", name=name) for name in ("one", "other"))
    before = made(one, "Hello", seed=3)[0].data
    RESIDENCY.limit(1)
    try:
        made(other, "Hello", seed=3)
        assert not one._loaded.held  # type: ignore[attr-defined]
        assert made(one, "Hello", seed=3)[0].data == before
    finally:
        RESIDENCY.limit(None)


def test_a_model_is_found_by_its_digest(folders: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder whose manifest vouches for each of its files; one that was changed is refused."""
    folder = folders["single"]
    digest = write_manifest(folder, name="single", version="1", licence="none", training="tests/tiny_audio.py")
    try:
        monkeypatch.setenv("GENGUARD_MODELS", str(folder.parent))
        (content,) = made(audio(model=f"sha256:{digest}", device="cpu"), "Hello")
        assert content.origin.digest == digest
        (folder / "added.json").write_text("{}", "utf-8")
        with pytest.raises(ModelError, match=r"added\.json is not in manifest"):
            audio(model=str(folder), device="cpu").load()
    finally:
        (folder / "manifest.json").unlink()
        (folder / "added.json").unlink()


def test_what_makes_no_sound_is_no_model(tmp_path: Path, folders: Mapping[str, Path]) -> None:
    """A folder without a model, a voice that the model does not have."""
    with pytest.raises(ModelError, match="not loaded as AutoModelForTextToWaveform"):
        audio(model=str(tmp_path), device="cpu").load()
    with pytest.raises(ParameterError, match="found speaker 7, expected 0 to 2"):
        audio(model=str(folders["voices"]), device="cpu", voices={"x": 7}).load()


def test_a_function_may_make_audio() -> None:
    """The bytes of a WAV file; it says the prompt only where the operator says so."""
    own = FunctionGenerator(lambda text: wav(), name="own", modality=Modality.AUDIO)
    assert [(one.modality, one.data, one.transcript) for one in made(own, "Hello")] == [(Modality.AUDIO, wav(), "")]
    says = FunctionGenerator(lambda text: wav(), name="own", modality=Modality.AUDIO, says_prompt=True)
    assert made(says, "Hello")[0].transcript == "Hello"
    for wrong, told in ((b"no sound", "bytes that are no WAV file"), ("text", "expected the bytes of a WAV file")):
        with pytest.raises(GenerationError, match=told):
            made(FunctionGenerator(lambda text, wrong=wrong: wrong, name="own", modality=Modality.AUDIO), "Hello")
