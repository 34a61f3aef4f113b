"""Loads a text-to-audio model of `transformers`, and makes WAV files with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generators.base import MAX_SEED, limited
from guard.errors import GenerationError, ModelError, ParameterError, TooLargeError
from guard.models import ModelFiles, pretrained
from guard.sound import encode_wav

if TYPE_CHECKING:
    import torch

DEFAULT_VOICE = "default"
MUSIC_SECONDS = 8.0
"""Of music whose caller does not say how long it shall be."""
_random = threading.Lock()
"""These models draw from PyTorch's one source of randomness: one at a time seeds it and draws."""


@dataclass(frozen=True, slots=True)
class AudioParameters:
    """What a caller may ask of such a model."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 8)
    """Outputs a prompt."""
    voice: str | None = None
    """Who speaks: one of the generator's voices, where it has some."""
    speed: float | None = limited(None, 0.25, 4.0)
    """How fast it is said, 1 is the model's own pace: of a VITS model."""
    seconds: float | None = limited(None, 0.1, 120.0)
    """How long it plays: of a model of music."""
    guidance_scale: float | None = limited(None, 1.0, 20.0)
    """How closely it keeps to the prompt: of a model of music."""
    temperature: float | None = limited(None, 0.01, 4.0)
    """How freely tokens are drawn: of a model that draws some."""


@dataclass(frozen=True, slots=True)
class Family:
    """What models of one architecture take."""

    takes: frozenset[str]
    """Parameters, besides seed and number."""
    plays: bool = False
    """Whether it makes music of a description, and no words."""


FAMILIES = {
    "vits": Family(frozenset({"voice", "speed"})),
    "musicgen": Family(frozenset({"seconds", "guidance_scale", "temperature"}), plays=True),
}
"""By `model_type` of a folder's config.json."""
_SETTINGS = ("voice", "speed", "seconds", "guidance_scale", "temperature")


@dataclass(frozen=True, slots=True)
class AudioModel:
    """A model on its device with its tokenizer."""

    name: str
    model: Any
    tokenizer: Any
    files: ModelFiles
    device: torch.device
    kind: str
    family: Family
    voices: Mapping[str, int]
    """Speakers by name."""
    context: int | None
    """Tokens of a prompt at most; None without a limit."""

    def require(self, asked: AudioParameters) -> None:
        """Raise ParameterError for what this model does not take."""
        for name in _SETTINGS:
            if getattr(asked, name) is not None and name not in self.family.takes:
                raise ParameterError(
                    f"{self.name}: parameter {name!r} is not taken by {self.files.name!r}, a model of type {self.kind}",
                    advice="Leave it out, or use a model that takes it.",
                )
        if asked.voice is not None and asked.voice not in self.voices:
            raise ParameterError(
                f"{self.name}: parameter 'voice': found another, expected one of: {', '.join(self.voices)}",
                advice="The generator's `voices` may give a model's speakers other names.",
            )

    def read(self, text: str) -> Any:
        """A prompt as tokens. Raises TooLargeError for one that is longer than the model can be given."""
        read = self.tokenizer([text], return_tensors="pt", return_attention_mask=True)
        count = read["input_ids"].shape[-1]
        if self.context is not None and count > self.context:
            raise TooLargeError(f"{self.name}: found a prompt of {count} tokens, expected at most {self.context}")
        return read

    def draw(self, tokens: Any, seed: int, asked: AudioParameters, left: Callable[[], bool]) -> bytes:
        """The WAV file of a prompt and a seed. `left`: whether nobody waits any more: then what was begun may be cut off."""
        import torch

        given = {name: tokens[name].to(self.device) for name in ("input_ids", "attention_mask")}
        cuda = [self.device] if self.device.type == "cuda" else []
        with _random, torch.random.fork_rng(cuda), torch.inference_mode():
            torch.manual_seed(seed)
            wave = self._played(given, asked, left) if self.family.plays else self._spoken(given, asked)
        return self._file(wave)

    @property
    def _rate(self) -> int:
        """Frames a second of what it makes."""
        return int(self.model.config.sampling_rate)

    def _spoken(self, given: Mapping[str, torch.Tensor], asked: AudioParameters) -> torch.Tensor:
        import torch

        several = getattr(self.model.config, "num_speakers", 1) > 1
        speaker = torch.tensor([self.voices[asked.voice or DEFAULT_VOICE]], device=self.device) if several else None
        rate = None if asked.speed is None else asked.speed * float(self.model.config.speaking_rate)
        made: torch.Tensor = self.model(**given, speaker_id=speaker, speaking_rate=rate).waveform
        return made[0]

    def _played(self, given: Mapping[str, torch.Tensor], asked: AudioParameters, left: Callable[[], bool]) -> torch.Tensor:
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList

        class Left(StoppingCriteria):  # type: ignore[misc]
            def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
                return torch.full((input_ids.shape[0],), left(), dtype=torch.bool, device=input_ids.device)

        more: dict[str, Any] = {} if asked.temperature is None else {"temperature": asked.temperature}
        more |= {} if asked.guidance_scale is None else {"guidance_scale": asked.guidance_scale}
        made: torch.Tensor = self.model.generate(
            **given,
            **more,
            do_sample=True,
            max_new_tokens=self._steps(asked) + 1,
            stopping_criteria=StoppingCriteriaList([Left()]),
        )
        return made[0]

    def _steps(self, asked: AudioParameters) -> int:
        """Steps of the decoder for the seconds asked for; as many as it has positions for where nobody asked."""
        rate, decoder = self.model.config.audio_encoder.frame_rate, self.model.config.decoder
        # Each codebook begins a step after the one before, and one position is for the beginning.
        most = int(decoder.max_position_embeddings) - int(decoder.num_codebooks) - 1
        steps: int = max(1, round((asked.seconds or min(MUSIC_SECONDS, most / rate)) * rate))
        if steps > most:
            longest = f"{most / rate:.1f} s"
            raise ParameterError(
                f"{self.name}: parameter 'seconds': found {asked.seconds:g}, expected at most {longest}, for which "
                f"{self.files.name!r} was made"
            )
        return steps

    def _file(self, wave: torch.Tensor) -> bytes:
        """Samples in [-1, 1], (frames) or (channels, frames), as a WAV file. Raises GenerationError for none, or no numbers."""
        import torch

        samples = wave.float().cpu()
        samples = samples[None] if samples.ndim == 1 else samples
        if not samples.numel() or not bool(torch.isfinite(samples).all()):
            raise GenerationError(f"{self.name}: the model made no sound that can be played")
        whole = (samples.clamp(-1, 1) * 32767).round().to(torch.int16)
        return encode_wav(whole.T.contiguous().numpy().astype("<i2").tobytes(), self._rate, whole.shape[0])


def load(model: str, device: str, revision: str | None, name: str, voices: Mapping[str, int]) -> AudioModel:
    """The model with all that it takes.

    Raises ModelError when it is not there, was changed, or is of no known family; ParameterError for a voice that it does not
    have.
    """
    import torch

    found = pretrained.load("AutoModelForTextToWaveform", model, device=device, revision=revision)
    kind = str(found.model.config.model_type)
    if kind not in FAMILIES:
        raise ModelError(
            f"{model}: found a model of type {kind!r}, expected one of: {', '.join(FAMILIES)}",
            advice="Other models can be offered as python:module:function.",
        )
    speakers = int(getattr(found.model.config, "num_speakers", 1))
    if wrong := [one for one in voices.values() if not 0 <= one < speakers]:
        raise ParameterError(f"{name}: voices: found speaker {wrong[0]}, expected 0 to {speakers - 1}")
    numbers = {str(one): one for one in range(speakers)}
    known = {DEFAULT_VOICE: 0, **(numbers if speakers > 1 else {}), **voices}
    where = torch.device(found.device)
    return AudioModel(name, found.model, found.tokenizer, found.files, where, kind, FAMILIES[kind], known, found.context)
