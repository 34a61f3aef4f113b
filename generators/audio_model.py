"""Loads a text-to-audio model of `transformers`, and makes WAV files with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generators.audio_families import FAMILIES, OTHERS, SETTINGS, Asked, AudioParameters, Family
from generators.audio_voices import DEFAULT, Given, Voices, voices
from guard.errors import GenerationError, ModelError, ParameterError, TooLargeError
from guard.models import ModelFiles, files_digest, pretrained
from guard.sound import encode_wav

if TYPE_CHECKING:
    import torch

VOCODER = "vocoder"
"""Where a model's folder may have one, under this name."""
_ADVICE = "Other models can be offered as python:module:function."
_random = threading.Lock()
"""These models draw from PyTorch's one source of randomness: one at a time seeds it and draws."""


class _LeftError(Exception):
    """Nobody waits for the sound any more."""


@dataclass(frozen=True, slots=True)
class AudioModel:
    """A model on its device with its tokenizer."""

    name: str
    model: Any
    tokenizer: Any
    vocoder: Any
    """Makes sounds of its spectrograms; None where it makes sounds itself."""
    files: ModelFiles
    digest: str
    """Of the model's folder; where it has a vocoder from elsewhere, of both."""
    device: torch.device
    kind: str
    family: Family
    voices: Voices
    rate: int
    """Frames a second of what it makes."""
    context: int | None
    """Tokens of a prompt at most; None without a limit."""

    def require(self, asked: AudioParameters) -> None:
        """Raise ParameterError for what this model does not take."""
        for name in SETTINGS:
            if getattr(asked, name) is not None and name not in self.family.takes:
                raise ParameterError(
                    f"{self.name}: parameter {name!r} is not taken by {self.files.name!r}, a model of type {self.kind}",
                    advice="Leave it out, or use a model that takes it.",
                )
        if asked.voice is not None and asked.voice not in self.voices.known:
            raise ParameterError(
                f"{self.name}: parameter 'voice': found another, expected one of: {', '.join(self.voices.known)}",
                advice="The generator's `voices` may give a model's speakers other names.",
            )

    def read(self, text: str) -> Any:
        """A prompt as tokens; None where there is nothing in it that the model knows.

        Raises TooLargeError for one that is longer than the model can be given.
        """
        size = self.family.padded(self.model)
        more = {} if size is None else {"padding": "max_length", "max_length": size, "add_special_tokens": False}
        read = self.tokenizer([text], return_tensors="pt", return_attention_mask=True, **more)
        count = int(read["attention_mask"].sum())
        if self.context is not None and count > self.context:
            raise TooLargeError(f"{self.name}: found a prompt of {count} tokens, expected at most {self.context}")
        # VITS has one of its letters for the end and for what it does not know.
        unread = set() if self.kind == "vits" else set(self.tokenizer.all_special_ids)
        known = set(read["input_ids"][read["attention_mask"].bool()].tolist()) - unread
        return read if known else None

    def draw(self, tokens: Any, seed: int, asked: AudioParameters, left: Callable[[], bool]) -> bytes | None:
        """The WAV file of a prompt and a seed.

        `left`: whether nobody waits any more: then what was begun may be cut off, and None returned.
        """
        import torch

        given = {name: tokens[name].to(self.device) for name in ("input_ids", "attention_mask")}
        voice = self.voices.known[asked.voice or DEFAULT]
        wanted = Asked(self.name, self.files.name, given, asked, voice)
        cuda = [self.device] if self.device.type == "cuda" else []
        try:
            with _random, torch.random.fork_rng(cuda), torch.inference_mode(), self._watched(left):
                torch.manual_seed(seed)
                return self._file(self.family.draw(self.model, self.vocoder, wanted))
        except _LeftError:
            return None

    @contextmanager
    def _watched(self, left: Callable[[], bool]) -> Iterator[None]:
        """Its parts ask before each step whether anybody still waits."""

        def look(*_: Any) -> None:
            if left():
                raise _LeftError

        hooks = [self.model.get_submodule(part).register_forward_pre_hook(look) for part in self.family.steps]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _file(self, wave: torch.Tensor) -> bytes:
        """Samples in [-1, 1], (frames) or (channels, frames), as a WAV file. Raises GenerationError for none, or no numbers."""
        import torch

        samples = wave.float().cpu()
        samples = samples[None] if samples.ndim == 1 else samples
        if not samples.numel() or not bool(torch.isfinite(samples).all()):
            raise GenerationError(f"{self.name}: the model made no sound that can be played")
        whole = (samples.clamp(-1, 1) * 32767).round().to(torch.int16)
        return encode_wav(whole.T.contiguous().numpy().astype("<i2").tobytes(), self.rate, whole.shape[0])


def load(model: str, device: str, revision: str | None, name: str, given: Given, vocoder: str | None) -> AudioModel:
    """The model with all that it takes.

    `given`: names for voices; `vocoder`: of a model that makes spectrograms, a folder, a digest or a hub name. Raises
    ModelError when something is not there, was changed, or is of no known family; ParameterError for a voice that it does not
    have, and a vocoder that it does not take.
    """
    import torch

    found = pretrained.load(lambda files: _class(files, model), model, device=device, revision=revision)
    kind = str(found.model.config.model_type)
    family = FAMILIES[kind]
    if len(found.tokenizer) > family.vocabulary(found.model):
        raise ModelError(f"{model}: the tokenizer has {len(found.tokenizer)} tokens, more than the model")
    part, digest = _vocoder(family, found, vocoder, name)
    limits = [one for one in (found.context, family.context(found.model)) if one is not None]
    where = torch.device(found.device)
    return AudioModel(
        name=name,
        model=found.model,
        tokenizer=found.tokenizer,
        vocoder=part,
        files=found.files,
        digest=digest,
        device=where,
        kind=kind,
        family=family,
        voices=voices(name, family.voices(found.model), given, found.files.path, where),
        rate=_rate(model, (found.model if part is None else part).config),
        context=min(limits, default=None),
    )


def _class(files: ModelFiles, model: str) -> str:
    """The class of `transformers` that loads it. Raises ModelError for a model of no known family."""
    try:
        kind = json.loads((files.path / "config.json").read_text("utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return "AutoModelForTextToWaveform"  # which then says what is missing
    if kind not in FAMILIES:
        why = f": {OTHERS[kind]}" if kind in OTHERS else ""
        raise ModelError(
            f"{model}: found a model of type {str(kind)[:40]!r}{why}, expected one of: {', '.join(FAMILIES)}", advice=_ADVICE
        )
    return FAMILIES[kind].kind


def _vocoder(family: Family, found: pretrained.Pretrained, given: str | None, name: str) -> tuple[Any, str]:
    """What makes sounds of the model's spectrograms, and the digest of all that speaks."""
    own = found.files.path / VOCODER
    if not family.vocoder:
        if given is not None:
            raise ParameterError(f"{name}: vocoder: found one, expected none: {found.files.name!r} makes sounds itself")
        return None, found.files.digest
    if given is None and not own.is_dir():
        raise ModelError(
            f"{found.files.name}: it makes spectrograms, and no vocoder is given",
            advice=f"Give `vocoder`, a {family.vocoder} of its kind, or put one into the model's folder under {VOCODER!r}.",
        )
    part, files = pretrained.load_part(family.vocoder, given or str(own), device=found.device)
    bands, wanted = int(part.config.model_in_dim), int(found.model.config.num_mel_bins)
    if bands != wanted:
        raise ModelError(f"{files.name}: found a vocoder for {bands} bands, expected {wanted} as the model makes them")
    both = {"model": found.files.digest, VOCODER: files.digest}
    return part, found.files.digest if given is None else files_digest(both)


def _rate(model: str, config: Any) -> int:
    """Frames a second, as the settings of the part that makes the sound say."""
    for one in (config, *(getattr(config, part, None) for part in ("codec_config", "vocoder_config"))):
        if rate := getattr(one, "sampling_rate", None):
            return int(rate)
    raise ModelError(f"{model}: its config.json does not say `sampling_rate`, expected frames a second")
