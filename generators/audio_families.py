"""What text-to-audio models of each architecture of `transformers` take, and how a sound is drawn from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generators.audio_voices import PROMPTS, Voice, Wanted
from generators.base import MAX_SEED, limited
from guard.errors import ModelError, ParameterError
from guard.models.pretrained import quiet

if TYPE_CHECKING:
    import torch

MUSIC_SECONDS = 8.0
"""Of music whose caller does not say how long it shall be."""
_MOST_FRAMES_A_TOKEN = 20.0
"""SpeechT5's own limit, for texts at whose end it does not stop by itself."""


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


SETTINGS = ("voice", "speed", "seconds", "guidance_scale", "temperature")
"""Parameters that not all models take."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One sound that is wanted. All tensors are on the model's device."""

    generator: str
    model: str
    """Both names are for errors."""
    given: Mapping[str, torch.Tensor]
    """The prompt's `input_ids` and `attention_mask`, (1, tokens)."""
    parameters: AudioParameters
    voice: Voice

    def chosen(self, *names: str) -> dict[str, Any]:
        """Those of some parameters that the caller chose."""
        return {name: value for name in names if (value := getattr(self.parameters, name)) is not None}


@dataclass(frozen=True, slots=True)
class Family:
    """What models of one architecture take."""

    takes: frozenset[str]
    """Parameters, besides seed and number."""
    draw: Callable[[Any, Any, Asked], torch.Tensor]
    """A model, its vocoder (None where it has none) and what is asked: samples in [-1, 1], (frames) or (channels, frames)."""
    kind: str = "AutoModelForTextToWaveform"
    """The class of `transformers` that loads it."""
    vocoder: str = ""
    """The class of what makes a sound of its spectrograms; empty where it makes sounds itself."""
    plays: bool = False
    """Whether it makes music of a description, and no words."""
    steps: tuple[str, ...] = ()
    """Its parts that are asked once a step: there, what nobody waits for any more is cut off."""
    padded: Callable[[Any], int | None] = lambda _model: None
    """How many tokens every prompt has to have, padding included; None: as many as it has."""
    context: Callable[[Any], int | None] = lambda _model: None
    """How many tokens it reads at most, besides what its tokenizer says."""
    vocabulary: Callable[[Any], int] = lambda model: int(model.config.vocab_size)
    """How many tokens it knows."""
    voices: Callable[[Any], Wanted] = lambda _model: Wanted()
    """What its voices are given as."""


def _vits(model: Any, _vocoder: Any, asked: Asked) -> torch.Tensor:
    import torch

    several = isinstance(asked.voice, int) and model.config.num_speakers > 1
    speaker = torch.tensor([asked.voice], device=model.device) if several else None
    speed = asked.parameters.speed
    rate = None if speed is None else speed * float(model.config.speaking_rate)
    made: torch.Tensor = model(**asked.given, speaker_id=speaker, speaking_rate=rate).waveform
    return made[0]


def _fastspeech(model: Any, vocoder: Any, asked: Asked) -> torch.Tensor:
    import torch

    several = asked.voice is not None and (_speakers(model).speakers or 0) > 1
    speaker = torch.tensor([asked.voice], device=model.device) if several else None
    made = model(**asked.given, speaker_ids=speaker)
    wave: torch.Tensor = made.waveform if vocoder is None else vocoder(made.spectrogram)
    return wave[0]


def _speecht5(model: Any, vocoder: Any, asked: Asked) -> torch.Tensor:
    """Its decoder drops units at random while it speaks, by design: so a seed makes a difference."""
    assert isinstance(asked.voice, Mapping)
    tokens = asked.given["input_ids"].shape[-1]
    longest = int(model.config.max_speech_positions - 1) * int(model.config.reduction_factor)
    made: torch.Tensor = model.generate_speech(
        **asked.given,
        speaker_embeddings=asked.voice["speaker"][None],
        vocoder=vocoder,
        maxlenratio=min(_MOST_FRAMES_A_TOKEN, longest / tokens),
    )
    return made


def _bark(model: Any, _vocoder: Any, asked: Asked) -> torch.Tensor:
    with quiet():  # it warns of how it calls its own parts
        made: torch.Tensor = model.generate(
            **asked.given, history_prompt=asked.voice, do_sample=True, **asked.chosen("temperature")
        )
    return made[0]


def _musicgen(model: Any, _vocoder: Any, asked: Asked) -> torch.Tensor:
    more = asked.chosen("temperature", "guidance_scale")
    steps = _steps(model, asked)
    made: torch.Tensor = model.generate(**asked.given, **more, do_sample=True, max_new_tokens=steps + 1)
    return made[0]


def _steps(model: Any, asked: Asked) -> int:
    """Steps of the decoder for the seconds asked for; as many as it has positions for where nobody asked."""
    rate, decoder, seconds = model.config.audio_encoder.frame_rate, model.config.decoder, asked.parameters.seconds
    # Each codebook begins a step after the one before, and one position is for the beginning.
    most = int(decoder.max_position_embeddings) - int(decoder.num_codebooks) - 1
    steps: int = max(1, round((seconds or min(MUSIC_SECONDS, most / rate)) * rate))
    if steps > most:
        longest = f"{most / rate:.1f} s"
        raise ParameterError(
            f"{asked.generator}: parameter 'seconds': found {seconds:g}, expected at most {longest}, for which "
            f"{asked.model!r} was made"
        )
    return steps


def _speakers(model: Any) -> Wanted:
    config = getattr(model.config, "model_config", model.config)
    return Wanted(speakers=int(getattr(config, "num_speakers", None) or 1))


def _fastspeech_vocabulary(model: Any) -> int:
    return int(getattr(model.config, "model_config", model.config).vocab_size)


def _bark_positions(model: Any) -> int:
    return int(_bark_settings(model)["max_input_semantic_length"])


def _bark_settings(model: Any) -> Mapping[str, Any]:
    """How its first part draws. Raises ModelError where the folder does not say."""
    found = getattr(model.generation_config, "semantic_config", None)
    wanted = ("max_input_semantic_length", "text_encoding_offset", "semantic_vocab_size")
    if not isinstance(found, Mapping) or not all(isinstance(found.get(name), int) for name in wanted):
        raise ModelError(
            "its generation_config.json does not say how its first part draws, expected `semantic_config`",
            advice="Take all files of the published model.",
        )
    return found


def _bark_vocabulary(model: Any) -> int:
    # Prompts and what the first part draws share one row of numbers.
    return int(model.semantic.config.input_vocab_size) - int(_bark_settings(model)["text_encoding_offset"])


def _bark_voices(model: Any) -> Wanted:
    coarse, fine = model.config.coarse_acoustics_config, model.fine_acoustics.config
    drawn = int(model.generation_config.codebook_size)
    rows = (None, int(model.generation_config.coarse_acoustics_config["n_coarse_codebooks"]), int(fine.n_codes_total))
    most = (int(_bark_settings(model)["semantic_vocab_size"]), min(drawn, int(coarse.input_vocab_size)), drawn)
    shapes = {name: ((row, None) if row else (None,)) for name, row in zip(PROMPTS, rows, strict=True)}
    return Wanted(arrays=shapes, most=dict(zip(PROMPTS, most, strict=True)))


_MUSIC = Family(
    frozenset({"seconds", "guidance_scale", "temperature"}),
    _musicgen,
    plays=True,
    steps=("decoder",),
    vocabulary=lambda model: int(model.config.text_encoder.vocab_size),
)
_SPEECHT5 = Family(
    frozenset({"voice"}),
    _speecht5,
    kind="AutoModelForTextToSpectrogram",
    vocoder="SpeechT5HifiGan",
    steps=("speecht5.decoder.wrapped_decoder",),
    context=lambda model: int(model.config.max_text_positions),
    voices=lambda model: Wanted(arrays={"speaker": (int(model.config.speaker_embedding_dim),)}),
)
_BARK = Family(
    frozenset({"voice", "temperature"}),
    _bark,
    steps=("semantic", "coarse_acoustics", "fine_acoustics"),
    padded=_bark_positions,
    context=_bark_positions,
    vocabulary=_bark_vocabulary,
    voices=_bark_voices,
)
_FASTSPEECH = Family(frozenset({"voice"}), _fastspeech, vocabulary=_fastspeech_vocabulary, voices=_speakers)
FAMILIES: Mapping[str, Family] = {
    "vits": Family(frozenset({"voice", "speed"}), _vits, voices=_speakers),
    "speecht5": _SPEECHT5,
    "bark": _BARK,
    "fastspeech2_conformer_with_hifigan": _FASTSPEECH,
    "fastspeech2_conformer": Family(
        _FASTSPEECH.takes,
        _fastspeech,
        kind="AutoModelForTextToSpectrogram",
        vocoder="FastSpeech2ConformerHifiGan",
        vocabulary=_fastspeech_vocabulary,
        voices=_speakers,
    ),
    "musicgen": _MUSIC,
    "musicgen_melody": _MUSIC,
}
"""By `model_type` of a folder's config.json."""
_ANSWERS = "it answers a prompt instead of saying it, so what it says is known to nobody"
_CONVERSES = "its prompt is a conversation, which its own processor has to write"
_IMITATES = "it speaks with the voice of a recording, which its own processor has to put before the prompt"
OTHERS: Mapping[str, str] = {
    "seamless_m4t": "it translates a prompt, so what it says is known to nobody",
    "seamless_m4t_v2": "it translates a prompt, so what it says is known to nobody",
    "qwen2_5_omni": _ANSWERS,
    "qwen3_omni_moe": _ANSWERS,
    "csm": _CONVERSES,
    "higgs_audio_v2": _CONVERSES,
    "vibevoice": _CONVERSES,
    "pocket_tts": _IMITATES,
    "gradium_phonon_tts": _IMITATES,
}
"""Architectures of `transformers` that also make sounds of texts, and why they cannot be used as these can."""
