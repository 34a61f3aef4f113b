"""Speech and music from tiny models in Hugging Face's format: what they take, what they say of it, and how they end."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from generators.audio import AudioGenerator, audio
from generators.audio_families import FAMILIES, OTHERS
from generators.audio_model import AudioModel
from generators.function import FunctionGenerator
from generators.residency import RESIDENCY
from guard import sound
from guard.errors import GenerationError, InputError, ModelError, ParameterError, TooLargeError
from guard.models import sha256, write_manifest
from guard.types import CALLER, Content, Modality, Request, Stage
from tests.sounds import wav
from tests.tiny_audio import CODES, MAKERS, SEMANTIC, VECTOR, musicgen, speecht5, vits


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("audio")
    made = {"single": vits(folder / "single"), "voices": vits(folder / "voices", speakers=3)}
    return (
        made
        | {one: MAKERS[one](folder / one) for one in ("speecht5", "bark", "fastspeech")}
        | {"music": musicgen(folder / "music")}
    )


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

    speech.load()  # weights that are made to be overwritten are drawn from it
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


@pytest.fixture(scope="module", params=["speecht5", "bark", "fastspeech-parts", "musicgen-melody"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A kind, and a model of it."""
    return request.param, MAKERS[request.param](tmp_path_factory.mktemp("other") / "model")


def test_other_kinds_of_models_make_sounds_too(other: tuple[str, Path]) -> None:
    """Whoever says the prompt has it for a transcript; music has none. One makes the same sound of a seed again."""
    kind, folder = other
    own = audio(model=str(folder), device="cpu", warm=True)
    own.load()
    plays = kind == "musicgen-melody"
    outputs = made(own, "Hello", "there you are", seed=4, **({"seconds": 0.1} if plays else {}))
    assert [one.transcript for one in outputs] == (["", ""] if plays else ["Hello", "there you are"])
    for one in outputs:
        found = sound.identify(one.file)
        assert (found.rate, found.bits, found.channels) == (8000, 16, 1)
        assert any(sound.samples_of(one.file))
    assert outputs[0].data != outputs[1].data
    assert made(own, "there you are", seed=5, **({"seconds": 0.1} if plays else {}))[0].data == outputs[1].data


def preset(low: int = 0) -> dict[str, NDArray[Any]]:
    """A voice for a tiny Bark."""
    codes = np.arange(40, dtype=np.int32) % CODES
    rows = {"semantic_prompt": np.arange(12) % SEMANTIC, "coarse_prompt": np.stack([codes] * 2)}
    return rows | {"fine_prompt": np.stack([codes] * 4) + low}


def test_a_voice_is_read_from_a_file(tmp_path: Path) -> None:
    """An x-vector for SpeechT5, in any of three forms, and Bark's rows of codes: each is heard, and recorded by digest."""
    speaks, goes_on = MAKERS["speecht5"](tmp_path / "speecht5"), MAKERS["bark"](tmp_path / "bark")
    vector = np.linspace(-9, 9, VECTOR).astype(np.float32)
    np.save(tmp_path / "one.npy", vector[None])
    np.savez(tmp_path / "one.npz", speaker=vector)
    save_file({"vector": vector}, speaks / "one.safetensors")
    given = {"npy": str(tmp_path / "one.npy"), "npz": str(tmp_path / "one.npz"), "own": "one.safetensors"}
    own = audio(model=str(speaks), device="cpu", voices=given)
    plain, *heard = (made(own, "Hello", seed=3, voice=voice)[0] for voice in ("default", *given))
    assert len({one.data for one in heard}) == 1
    assert heard[0].data != plain.data
    assert dict(heard[0].origin.parameters)["voice_digest"] == sha256(tmp_path / "one.npy")
    assert "voice_digest" not in dict(plain.origin.parameters)
    np.savez(tmp_path / "anna.npz", **preset())
    bark = audio(model=str(goes_on), device="cpu", voices={"anna": str(tmp_path / "anna.npz")})
    anna, nobody = (made(bark, "Hello", seed=3, voice=voice)[0] for voice in ("anna", "default"))
    assert anna.data != nobody.data
    assert len(made(bark, "Hello", seed=3, temperature=0.5)) == 1


@pytest.mark.parametrize(
    ("kind", "voice", "told"),
    [
        ("speecht5", 0, "found a number, expected a file"),
        ("speecht5", True, "found bool, expected a speaker's number or a file"),
        ("speecht5", "gone.npy", "cannot be read .FileNotFoundError"),
        ("speecht5", "objects.npy", "cannot be read .ValueError"),
        ("speecht5", "voice.bin", "found a file '.bin', expected .npy, .npz or .safetensors"),
        ("speecht5", "short.npy", rf"speaker: found an array of .3,., expected {VECTOR}"),
        ("speecht5", "endless.npy", "found something that is no finite number"),
        ("bark", "short.npy", "found no array 'semantic_prompt'"),
        ("bark", "wrong.npz", f"fine_prompt: expected whole numbers from 0 to {CODES - 1}"),
        ("fastspeech", "short.npy", "found a file, expected a number"),
        ("fastspeech", 3, "found speaker 3, expected 0 to 2"),
    ],
)
def test_a_voice_that_is_none_is_refused(kind: str, voice: Any, told: str, tmp_path: Path, folders: Mapping[str, Path]) -> None:
    """When the model is loaded, and not by the first who asks for it. Nothing of a file is run."""
    folder = folders[kind]
    np.save(tmp_path / "short.npy", np.zeros(3))
    np.save(tmp_path / "endless.npy", np.full(VECTOR, np.inf))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "wrong.npz", **preset(low=1))
    (tmp_path / "voice.bin").write_bytes(b"voice")
    given = str(tmp_path / voice) if isinstance(voice, str) else voice
    with pytest.raises(ParameterError, match=told):
        audio(model=str(folder), device="cpu", voices={"x": given}).load()


def test_spectrograms_need_a_vocoder(tmp_path: Path, folders: Mapping[str, Path]) -> None:
    """One that was made for them: the model's folder has it, or the operator names it; it is part of the digest."""
    folder, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    speecht5(folder, elsewhere)
    with pytest.raises(ModelError, match="it makes spectrograms, and no vocoder is given"):
        audio(model=str(folder), device="cpu").load()
    apart = made(audio(model=str(folder), device="cpu", vocoder=str(elsewhere)), "Hello", seed=3)[0]
    together = made(audio(model=str(folders["speecht5"]), device="cpu"), "Hello", seed=3)[0]
    assert apart.data == together.data
    assert apart.origin.digest != together.origin.digest
    with pytest.raises(ParameterError, match=r"expected none: .* makes sounds itself"):
        audio(model=str(folders["bark"]), device="cpu", vocoder=str(elsewhere)).load()
    parts = MAKERS["fastspeech-parts"](tmp_path / "parts")
    settings = json.loads((parts / "vocoder" / "config.json").read_text("utf-8"))
    del settings["sampling_rate"]
    (parts / "vocoder" / "config.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(ModelError, match="does not say `sampling_rate`"):
        audio(model=str(parts), device="cpu").load()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("seamless_m4t_v2", "'seamless_m4t_v2': it translates a prompt, .* expected one of: vits, speecht5, bark,"),
        ("csm", "'csm': its prompt is a conversation"),
        ("gpt2", "'gpt2', expected one of: vits"),
    ],
)
def test_a_model_of_another_kind_is_refused_by_name(kind: str, told: str, tmp_path: Path) -> None:
    """Before its weights are read."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), "utf-8")
    with pytest.raises(ModelError, match=told):
        audio(model=str(tmp_path), device="cpu").load()


def test_architectures_of_transformers_are_taken_or_refused_for_a_reason() -> None:
    """All that it can load for sounds of texts: a new release that brings more is noticed here."""
    from transformers.models.auto import modeling_auto

    known = {
        *modeling_auto.MODEL_FOR_TEXT_TO_WAVEFORM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_TEXT_TO_SPECTROGRAM_MAPPING_NAMES,
    }
    assert known == FAMILIES.keys() | OTHERS.keys()
    assert FAMILIES.keys().isdisjoint(OTHERS)


@pytest.mark.parametrize("kind", ["music", "speecht5", "bark"])
def test_a_caller_who_leaves_stops_it_in_the_middle(
    kind: str, folders: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is free again long before its last step."""
    own = audio(model=str(folders[kind]), device="cpu")
    own.load()
    begun, ended, steps = threading.Event(), threading.Event(), list[int]()
    draw = AudioModel.draw

    def drawn(self: AudioModel, tokens: Any, seed: int, asked: Any, left: Any) -> Any:
        def watched() -> bool:
            steps.append(1)
            until = time.monotonic() + 60
            while len(steps) == 3 and not left() and time.monotonic() < until:
                begun.set()
                time.sleep(0.01)
            return bool(left())

        try:
            return draw(self, tokens, seed, asked, watched)
        finally:
            ended.set()

    monkeypatch.setattr(AudioModel, "draw", drawn)

    async def leave() -> None:
        task = asyncio.ensure_future(anext(own([prompt("a waltz")], {"seed": 1})))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 60)

    asyncio.run(leave())
    assert len(steps) == 3
    monkeypatch.undo()
    assert len(made(own, "a waltz", **({"seconds": 0.1} if kind == "music" else {}))) == 1


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
