"""A language model of `transformers` on its device with its tokenizer: what goes in as tokens, what comes out as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from generators.base import choose_device
from generators.forward import Causal, EncoderDecoder, Forward
from generators.spelling import Spelling
from guard.errors import GenguardError, InputError, ModelError, TooLargeError
from guard.models import ModelFiles
from guard.models.pretrained import find, quiet
from guard.types import Content, Modality

_UNLIMITED = 1 << 30
_NEAR = 4
"""Tokens before one that decide whether it is spelt with a space in front."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A model on its device with its tokenizer."""

    model: Any
    tokenizer: Any
    files: ModelFiles
    ends: frozenset[int]
    """Tokens that end an output."""
    context: int | None
    """Tokens it reads at most, of prompt and output together where one model does both; None: without a limit."""
    start: tuple[int, ...]
    """What outputs of an encoder-decoder model begin with; empty for a causal one."""
    most: int | None
    """Tokens of an output at most, where it does not share the context with its prompt; None: without a limit."""

    @property
    def chats(self) -> bool:
        """Whether it has a chat template."""
        return self.tokenizer.chat_template is not None

    def encode(self, prompt: Content, where: str) -> list[int]:
        """Token ids of a prompt. Raises InputError or TooLargeError; `where` names the prompt."""
        if prompt.modality is not Modality.TEXT:
            raise InputError(f"{where}: found {prompt.modality.value}, expected text")
        if not prompt.text.strip():
            raise InputError(f"{where}: found an empty text, expected at least one character")
        try:
            prompt.text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{where}: found an unpaired surrogate at {error.start}, expected Unicode text") from None
        text = self._rendered(prompt, where) if self.chats else prompt.text
        ids = [int(token) for token in self.tokenizer(text, add_special_tokens=not self.chats, verbose=False)["input_ids"]]
        room = self.context if self.start or self.context is None else self.context - 1
        if room is not None and len(ids) > room:
            raise TooLargeError(
                f"{where}: found {len(ids)} tokens, expected at most {room}",
                advice="Shorten the prompt, or use a model with a longer context.",
            )
        if not ids:
            raise InputError(f"{where}: found a text without any token, expected at least one")
        return ids

    def _rendered(self, prompt: Content, where: str) -> str:
        """The prompt as its chat template writes it, turn by turn."""
        messages = [{"role": turn.role, "content": prompt.text_of(turn)} for turn in prompt.turns]
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages or [{"role": "user", "content": prompt.text}], tokenize=False, add_generation_prompt=True
                )
            )
        except Exception as error:  # noqa: BLE001 - a template is a program of its own
            # What it says may quote what it was given.
            roles = ", ".join(turn.role for turn in prompt.turns[:8]) or "user"
            raise InputError(
                f"{where}: the model's chat template takes no conversation of these turns: {roles} ({type(error).__name__})",
                advice="Leave out system or tool turns, or let user and assistant alternate, as the template expects.",
            ) from None

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text as it stands."""
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return [int(token) for token in ids]

    def room(self, ids: Sequence[int]) -> int:
        """Tokens that an output of this prompt may have."""
        if self.start:
            return _UNLIMITED if self.most is None else self.most
        return _UNLIMITED if self.context is None else self.context - len(ids)

    def forward(self, prompts: Sequence[Sequence[int]]) -> Forward:
        """Its forward pass over a batch of prompts."""
        return EncoderDecoder(self.model, prompts, self.start) if self.start else Causal(self.model, prompts)

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens, without special ones, as they are."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def spelling(self, stop: Sequence[str]) -> Spelling:
        """What spells an output: up to the first stop sequence; a chat's reply without the spaces around it."""
        return Spelling(self.text, stop=stop, strip=self.chats)

    def shown(self, before: Sequence[int], token: int) -> str:
        """Text of one token where it stands or might have stood; a special one by its name."""
        near = list(before[-_NEAR:])
        return self.text([*near, token])[len(self.text(near)) :] or str(self.tokenizer.convert_ids_to_tokens(token))


def load(model: str, device: str, revision: str | None) -> LanguageModel:
    """Load a causal or an encoder-decoder model with its tokenizer, in bfloat16 on CUDA and float32 on a CPU.

    Raises ModelError when it is not there, was changed, is neither of the two, or lacks a weight.
    """
    import torch
    import transformers

    where = choose_device(device)
    advice = "Expected a folder or hub repository of a language model, with config.json, tokenizer and safetensors."
    kind = "language model"
    try:
        files = find(model, revision)
        config = transformers.AutoConfig.from_pretrained(files.path, local_files_only=True, trust_remote_code=False)
        both = bool(getattr(config, "is_encoder_decoder", False))
        kind = "encoder-decoder language model" if both else "causal language model"
        tokenizer = transformers.AutoTokenizer.from_pretrained(files.path, local_files_only=True, trust_remote_code=False)
        with quiet():
            found = transformers.AutoModelForSeq2SeqLM if both else transformers.AutoModelForCausalLM
            loaded, report = found.from_pretrained(
                files.path,
                dtype=torch.bfloat16 if where.type == "cuda" else torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,  # left out, transformers asks whoever sits at the terminal
                output_loading_info=True,
            )
        loaded = loaded.to(where).eval().requires_grad_(False)
    except GenguardError:
        raise
    except Exception as error:
        raise ModelError(f"{model}: not loaded as a {kind}: {type(error).__name__}: {error}", advice=advice) from error
    wrong = sorted(map(str, {*report["missing_keys"], *report["mismatched_keys"]}))
    if wrong:
        # They would be left random, and said nothing about.
        raise ModelError(f"{model}: {len(wrong)} weights are missing or of another shape, first {wrong[0]!r}", advice=advice)
    text = loaded.config.get_text_config()
    if len(tokenizer) > text.vocab_size:
        raise ModelError(f"{model}: the tokenizer has {len(tokenizer)} tokens, the model {text.vocab_size}", advice=advice)
    positions = getattr(text, "max_position_embeddings", None)
    start = _start(model, loaded) if both else ()
    return LanguageModel(
        loaded,
        tokenizer,
        files,
        _ends(loaded, tokenizer),
        _least(positions, tokenizer.model_max_length),
        start,
        positions - len(start) if both and positions else None,
    )


def _start(model: str, loaded: Any) -> tuple[int, ...]:
    settings = loaded.generation_config
    first = settings.decoder_start_token_id
    first = getattr(loaded.config, "decoder_start_token_id", None) if first is None else first
    if first is None:
        raise ModelError(f"{model}: config.json names no decoder_start_token_id, expected the token that outputs begin with")
    forced = getattr(settings, "forced_bos_token_id", None)
    return (int(first),) if forced is None else (int(first), int(forced))


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(int(token) for token in (*ends, tokenizer.eos_token_id) if token is not None)


def _least(*limits: int | None) -> int | None:
    # Tokenizers without a limit carry a number of thirty digits.
    return min((int(limit) for limit in limits if limit and limit < _UNLIMITED), default=None)
