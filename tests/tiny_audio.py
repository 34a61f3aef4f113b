"""Text-to-audio models of a few thousand random weights, saved in Hugging Face's format, made in a second without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models

from tests.tiny_models import save

LETTERS = "_ abcdefghijklmnopqrstuvwxyz'-"


def vits(folder: Path, *, speakers: int = 1) -> Path:
    """A VITS model that says letters at 16 kHz; whatever else a text holds, it cannot read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(LETTERS)}), "utf-8")
    given = {"pad_token": "_", "unk_token": "_", "language": "eng", "phonemize": False, "is_uroman": False}
    transformers.VitsTokenizer(str(folder / "vocab.json"), add_blank=True, normalize=True, **given).save_pretrained(folder)
    torch.manual_seed(11)
    config = transformers.VitsConfig(
        vocab_size=len(LETTERS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        upsample_initial_channel=16,
        upsample_rates=[8, 4],
        upsample_kernel_sizes=[16, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        duration_predictor_num_flows=1,
        duration_predictor_filter_channels=16,
        depth_separable_num_layers=1,
        num_speakers=speakers,
        speaker_embedding_size=8 if speakers > 1 else 0,
    )
    save(transformers.VitsModel(config), folder)
    return folder


def musicgen(folder: Path, *, melody: bool = False) -> Path:
    """A MusicGen model that plays at 8 kHz, 500 steps a second, for 0.49 s at most. `melody`: of the other kind."""
    words = _letters(folder)
    torch.manual_seed(11)
    reads = transformers.T5Config(vocab_size=words, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    sounds = _codec(target_bandwidths=[4.0])
    kind = transformers.MusicgenMelodyDecoderConfig if melody else transformers.MusicgenDecoderConfig
    draws = kind(
        vocab_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        num_codebooks=sounds.num_quantizers,
        max_position_embeddings=250,
        pad_token_id=None,
        bos_token_id=None,
    )
    parts = {"text_encoder": reads.to_dict(), "audio_encoder": sounds.to_dict(), "decoder": draws.to_dict()}
    model: transformers.PreTrainedModel
    if melody:
        model = transformers.MusicgenMelodyForConditionalGeneration(transformers.MusicgenMelodyConfig(**parts, chroma_length=4))
    else:
        model = transformers.MusicgenForConditionalGeneration(transformers.MusicgenConfig(**parts))
    _differ(model.audio_encoder)
    for name in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, name, 16)
    model.generation_config.guidance_scale = 3.0
    save(model, folder)
    return folder


SEMANTIC, CODES, SHOWN = 20, 16, 60
"""Of a tiny Bark: what its first part draws from, codes of a book, and tokens that it reads of a prompt."""


def bark(folder: Path) -> Path:
    """A Bark model of four parts that speaks at 8 kHz, for 0.02 s whatever it is given."""
    words = _letters(folder)
    torch.manual_seed(11)
    small = {"block_size": 128, "num_layers": 1, "num_heads": 2, "hidden_size": 16, "bias": False}
    offset = SEMANTIC + 4
    reads = transformers.BarkSemanticConfig(input_vocab_size=offset + words + 2, output_vocab_size=SEMANTIC + 2, **small)
    last = SEMANTIC + 2 * CODES
    coarse = transformers.BarkCoarseConfig(input_vocab_size=last + 4, output_vocab_size=last + 4, **small)
    fine = transformers.BarkFineConfig(
        input_vocab_size=CODES + 1, output_vocab_size=CODES + 1, n_codes_total=4, n_codes_given=1, **small
    )
    codec = _codec(target_bandwidths=[8.0])
    parts = {"semantic_config": reads, "coarse_acoustics_config": coarse, "fine_acoustics_config": fine, "codec_config": codec}
    config = transformers.BarkConfig(**{name: one.to_dict() for name, one in parts.items()})
    model = transformers.BarkModel(config)
    _differ(model.codec_model)
    model.generation_config = transformers.GenerationConfig(
        semantic_config={
            "eos_token_id": SEMANTIC,
            "text_encoding_offset": offset,
            "text_pad_token": offset + words,
            "semantic_infer_token": offset + words + 1,
            "semantic_vocab_size": SEMANTIC,
            "max_input_semantic_length": SHOWN,
            "semantic_rate_hz": 100,
            "max_new_tokens": 2,
            "min_new_tokens": 2,
            "do_sample": True,
        },
        coarse_acoustics_config={
            "coarse_semantic_pad_token": last,
            "coarse_infer_token": last + 1,
            "coarse_rate_hz": 500,
            "n_coarse_codebooks": 2,
            "max_coarse_input_length": 8,
            "max_coarse_history": 20,
            "sliding_window_len": 40,
            "do_sample": True,
        },
        fine_acoustics_config={"max_fine_history_length": 16, "max_fine_input_length": 32, "n_fine_codebooks": 4},
        sample_rate=8000,
        codebook_size=CODES,
    )
    save(model, folder)
    return folder


VECTOR = 8
"""Numbers that describe a speaker of a tiny SpeechT5."""


def speecht5(folder: Path, vocoder: Path | None = None) -> Path:
    """A SpeechT5 model that speaks for 18 frames of 2 ms. `vocoder`: where its vocoder goes; None: into its own folder."""
    words = _letters(folder)
    torch.manual_seed(11)
    part = {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in _LAYERS.items()}
    config = transformers.SpeechT5Config(
        **part,
        vocab_size=words,
        hidden_size=16,
        num_mel_bins=4,
        speech_decoder_prenet_units=8,
        speech_decoder_postnet_layers=1,
        speech_decoder_postnet_units=8,
        speaker_embedding_dim=VECTOR,
        max_text_positions=60,
        max_speech_positions=10,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    model = transformers.SpeechT5ForTextToSpeech(config)
    model.speech_decoder_postnet.prob_out.bias.data.fill_(-9.0)  # it never ends by itself
    save(model, folder)
    _vocoder(transformers.SpeechT5HifiGan, transformers.SpeechT5HifiGanConfig, vocoder or folder / "vocoder")
    return folder


def fastspeech(folder: Path, *, whole: bool) -> Path:
    """A FastSpeech 2 Conformer of three speakers, whose phonemes are letters. `whole`: one that has its vocoder in itself."""
    words = _letters(folder)
    torch.manual_seed(11)
    config = transformers.FastSpeech2ConformerConfig(
        vocab_size=words,
        hidden_size=16,
        num_mel_bins=4,
        encoder_layers=1,
        decoder_layers=1,
        encoder_linear_units=16,
        decoder_linear_units=16,
        speech_decoder_postnet_layers=1,
        speech_decoder_postnet_units=8,
        decoder_kernel_size=3,
        duration_predictor_channels=8,
        energy_predictor_channels=8,
        pitch_predictor_layers=1,
        pitch_predictor_channels=8,
        num_speakers=3,
    )
    kind = transformers.FastSpeech2ConformerHifiGanConfig
    if not whole:
        save(transformers.FastSpeech2ConformerModel(config), folder)
        _vocoder(transformers.FastSpeech2ConformerHifiGan, kind, folder / "vocoder")
        return folder
    parts = {"model_config": config.to_dict(), "vocoder_config": kind(**_SOUNDS).to_dict()}
    both = transformers.FastSpeech2ConformerWithHifiGanConfig(**parts)
    model = transformers.FastSpeech2ConformerWithHifiGan(both)
    _loud(model.vocoder)
    save(model, folder)
    return folder


_LAYERS = {"layers": 1, "attention_heads": 2, "ffn_dim": 16}
_SOUNDS = {
    "model_in_dim": 4,
    "sampling_rate": 8000,
    "upsample_initial_channel": 8,
    "upsample_rates": [4, 4],
    "upsample_kernel_sizes": [8, 8],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
}


def _vocoder(kind: Any, config: Any, folder: Path) -> None:
    save(_loud(kind(config(**_SOUNDS))), folder)


def _loud(vocoder: Any) -> Any:
    for weight in vocoder.parameters():  # such small ones are silent
        weight.data.mul_(20)
    return vocoder


def _codec(**given: Any) -> transformers.EncodecConfig:
    return transformers.EncodecConfig(
        sampling_rate=8000,
        num_filters=4,
        upsampling_ratios=[4, 4],
        hidden_size=8,
        codebook_size=CODES,
        codebook_dim=8,
        num_lstm_layers=1,
        **given,
    )


def _differ(codec: Any) -> None:
    for layer in codec.quantizer.layers:  # made of zeros, which all sound alike
        layer.codebook.embed.normal_()


def _letters(folder: Path) -> int:
    """Save a tokenizer of letters; returns how many tokens it has."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .?,'"]
    tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, [], unk_token="<unk>"))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return len(words)


MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "vits": vits,
    "speecht5": speecht5,
    "bark": bark,
    "fastspeech": partial(fastspeech, whole=True),
    "fastspeech-parts": partial(fastspeech, whole=False),
    "musicgen": musicgen,
    "musicgen-melody": partial(musicgen, melody=True),
}
"""One of each kind."""
