"""Speech and music from models of `transformers`: a folder, a hub name, or a digest; `audio_families` names their kinds.

Safetensors only, no code from the folder. Outputs are WAV files in PCM of 16 bits. A model that speaks says the prompt, so the
prompt is its output's transcript; a model of music is told what to play, and nobody knows any words of it.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from generators.audio_families import AudioParameters
from generators.audio_model import AudioModel, load
from generators.audio_voices import Given
from generators.base import Worker, origin, output_seeds, parse
from generators.residency import Slot
from guard.errors import InputError, TooLargeError
from guard.protocols import Generator
from guard.registry import generators
from guard.sound import audio_content
from guard.types import Content, Making, Modality

MOST_CHARACTERS = 4096
"""Of one prompt."""


class AudioGenerator:
    """One model as a generator."""

    modality = Modality.AUDIO

    def __init__(
        self,
        model: str,
        *,
        device: str,
        name: str,
        revision: str | None,
        warm: bool,
        voices: Given,
        vocoder: str | None,
    ) -> None:
        """See `audio`."""
        self.name = name
        self.model = model
        self._warm = warm
        self._worker = Worker(name)
        self._loaded = Slot(lambda: load(model, device, revision, name, voices, vocoder))

    def load(self) -> None:
        """Load the model, and warm it up where that is asked for: say one word.

        Raises ModelError when it is not there, was changed, or makes no sound.
        """
        with self._loaded.use() as loaded:
            if self._warm:
                asked = AudioParameters(seconds=0.1 if loaded.family.plays else None)
                self._worker.wait(lambda: loaded.draw(loaded.read("a"), 0, asked, lambda: False))

    def unload(self) -> None:
        """Free the model's memory, when the calls that use it are done; the next call loads it again."""
        self._loaded.free()

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield the sounds of each prompt in turn. A caller who leaves ends the one in work where the model draws tokens.

        Raises ParameterError for what this model does not take; InputError for a prompt with nothing that it can read, and
        TooLargeError for one of more than MOST_CHARACTERS, before anything is made.
        """
        asked, left = parse(AudioParameters, parameters, generator=self.name), threading.Event()
        return self._until_left(self._worker.stream(lambda: self._generate(prompts, asked, left)), left)

    async def _until_left(
        self, outputs: AsyncIterator[tuple[int, Content]], left: threading.Event
    ) -> AsyncGenerator[tuple[int, Content]]:
        assert isinstance(outputs, AsyncGenerator)
        try:
            async with aclosing(outputs):
                async for one in outputs:
                    yield one
        finally:
            left.set()

    def _generate(
        self, prompts: Sequence[Content], asked: AudioParameters, left: threading.Event
    ) -> Iterator[tuple[int, Content]]:
        with self._loaded.use() as loaded:
            loaded.require(asked)
            read = [self._read(loaded, prompt, f"{self.name}: prompt {index}") for index, prompt in enumerate(prompts)]
            for at, (index, seed) in enumerate(output_seeds(len(prompts), asked.n, asked.seed)):
                file = loaded.draw(read[index], seed, asked, left.is_set)
                if file is None or left.is_set():
                    return
                yield index, self._content(loaded, prompts[index], asked, file, seed, at % asked.n)

    def _read(self, loaded: AudioModel, prompt: Content, where: str) -> Any:
        if prompt.modality is not Modality.TEXT:
            raise InputError(f"{where}: found {prompt.modality.value}, expected text")
        if prompt.length > MOST_CHARACTERS:
            raise TooLargeError(f"{where}: found {prompt.length} characters, expected at most {MOST_CHARACTERS}")
        read = loaded.read(prompt.text)
        if read is None:
            raise InputError(f"{where}: found no character that {loaded.files.name!r} can read, expected one or more")
        return read

    def _content(
        self, loaded: AudioModel, prompt: Content, asked: AudioParameters, file: bytes, seed: int, choice: int
    ) -> Content:
        made = {**asdict(asked), "n": None, "voice_digest": loaded.voices.digests.get(asked.voice or "")}
        source = origin(self.name, model=loaded.files.name, digest=loaded.digest, parameters=made, seed=seed)
        said = "" if loaded.family.plays else prompt.text
        return audio_content(file, origin=source, request=prompt.request, making=Making(choice), transcript=said)


@generators.register("audio")
def audio(
    *,
    model: str,
    device: str = "auto",
    name: str = "audio",
    revision: str | None = None,
    warm: bool = False,
    voices: Given | None = None,
    vocoder: str | None = None,
) -> Generator:
    """Speech or music, in float32.

    `model`: a folder, `sha256:` and the digest of one, or a hub name `owner/name` (downloaded on first use; `revision` pins
    it). `warm`: make a sound when it is loaded, so that the first caller does not wait for what is only done once. `voices`:
    names for the speakers of a model that has several, or for the one speaker, 0, of one that has not; for files that describe
    one (`generators.audio_voices`) with a model of SpeechT5 or Bark. `default`, and of several the numbers, are names as well.
    `vocoder`: what makes sounds of a model's spectrograms, as `model`; needed where its folder has none.
    """
    return AudioGenerator(model, device=device, name=name, revision=revision, warm=warm, voices=voices or {}, vocoder=vocoder)
