"""Text-to-audio models of a few thousand random weights, saved in Hugging Face's format, made in a second without a network."""

from __future__ import annotations

import json
from pathlib import Path

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


def musicgen(folder: Path) -> Path:
    """A MusicGen model that plays at 8 kHz, 500 steps a second, for 0.49 s at most."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .?,'"]
    tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, [], unk_token="<unk>"))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(11)
    reads = transformers.T5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    sounds = transformers.EncodecConfig(
        sampling_rate=8000,
        num_filters=4,
        upsampling_ratios=[4, 4],
        hidden_size=8,
        codebook_size=16,
        codebook_dim=8,
        num_lstm_layers=1,
        target_bandwidths=[4.0],
    )
    draws = transformers.MusicgenDecoderConfig(
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
    config = transformers.MusicgenConfig(text_encoder=reads.to_dict(), audio_encoder=sounds.to_dict(), decoder=draws.to_dict())
    model = transformers.MusicgenForConditionalGeneration(config)
    for layer in model.audio_encoder.quantizer.layers:  # made of zeros, which all sound alike
        layer.codebook.embed.normal_()
    for name in ("decoder_start_token_id", "pad_token_id", "bos_token_id"):
        setattr(model.generation_config, name, 16)
    model.generation_config.guidance_scale = 3.0
    save(model, folder)
    return folder
