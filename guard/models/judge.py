"""A causal language model of `transformers` on this machine that answers one chat after another, with its likeliest tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guard.errors import ModelError
from guard.models import pretrained

MAX_ANSWER_TOKENS = 64
TOPS = 20
"""Likeliest tokens that are told for each token of an answer; what OpenAI's API gives at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge said, and for each of its tokens the likeliest tokens with the logarithms of their probabilities."""

    reply: str
    tops: Sequence[Sequence[tuple[str, float]]] = ()


class LocalJudge:
    """Answers greedily, so always alike. One answer at a time."""

    def __init__(self, model: str, *, device: str, revision: str | None) -> None:
        """See `guard.models.pretrained.load`."""
        self._name, self._device, self._revision = model, device, revision
        self._loaded: pretrained.Pretrained | None = None
        self._ends: list[int] = []
        self._special: tuple[str, ...] = ()

    @property
    def hub(self) -> tuple[tuple[str, str], ...]:
        """The model with its revision, where a hub has to be asked for it."""
        return ((self._name, self._revision or ""),) if pretrained.is_hub_name(self._name) else ()

    def load(self) -> tuple[str, str]:
        """Load the model; return its version and digest. Raises ModelError for one that is no chat model."""
        import transformers

        loaded = pretrained.load("AutoModelForCausalLM", self._name, device=self._device, revision=self._revision, half=True)
        if loaded.tokenizer.chat_template is None:
            raise ModelError(f"{self._name}: its tokenizer has no chat template, expected a model that is made for chats")
        configured = loaded.model.generation_config.eos_token_id
        ends = configured if isinstance(configured, list | tuple) else [configured]
        self._ends = sorted({int(token) for token in (*ends, loaded.tokenizer.eos_token_id) if token is not None})
        if not self._ends:
            raise ModelError(f"{self._name}: no token ends its answers, expected one in generation_config.json")
        # The folder's own settings may ask for sampling.
        loaded.model.generation_config = transformers.GenerationConfig(
            do_sample=False, max_new_tokens=MAX_ANSWER_TOKENS, eos_token_id=self._ends, pad_token_id=self._ends[0]
        )
        added = {str(token) for token in loaded.tokenizer.added_tokens_decoder.values()}
        self._special = tuple(sorted(token for token in added if len(token) > 1))
        self._loaded = loaded
        return loaded.files.version or "unversioned", loaded.files.digest

    def neutral(self, text: str) -> str:
        """The text with every special token of the model parted, so that it is read as the letters it is written in."""
        for token in self._special:
            text = text.replace(token, f"{token[0]}\u2060{token[1:]}")
        return text

    def answer(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Answer:
        """The answer to a chat; `options` go to the chat template. Raises ModelError for a chat or an answer too long."""
        import torch

        if self._loaded is None:
            raise ModelError(f"{self._name} is not loaded", advice="Call load() before the first batch.")
        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        try:
            chat = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True, **options)
        except Exception as error:  # noqa: BLE001 - described without what it says
            # Templates raise what they like, and may quote what they were given.
            raise ModelError(f"{self._name}: its chat template refuses the chat ({type(error).__name__})") from None
        tokens = tokenizer(chat, add_special_tokens=False, return_tensors="pt", verbose=False).to(self._loaded.device)
        asked, most = tokens["input_ids"].shape[1], self._loaded.context
        if most is not None and asked + MAX_ANSWER_TOKENS > most:
            raise ModelError(
                f"{self._name}: found a chat of {asked} tokens, expected at most {most - MAX_ANSWER_TOKENS}",
                advice="Take a judge with a longer context; a text is judged whole or not at all.",
            )
        with torch.inference_mode():
            made = model.generate(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                return_dict_in_generate=True,
                output_logits=True,
            )
        reply = made.sequences[0, asked:].tolist()
        if reply[-1] not in self._ends:
            raise ModelError(f"{self._name}: its answer did not end within {MAX_ANSWER_TOKENS} tokens")
        return Answer(tokenizer.decode(reply, skip_special_tokens=True), [self._tops(logits[0]) for logits in made.logits])

    def _tops(self, logits: Any) -> list[tuple[str, float]]:
        import torch

        assert self._loaded is not None
        if torch.isnan(logits).any():
            raise ModelError(f"{self._name} answered with something that is no number", advice="Its weights are damaged.")
        best = torch.log_softmax(logits.float(), -1).topk(min(TOPS, logits.shape[-1]))
        words = [self._loaded.tokenizer.decode([index]) for index in best.indices.tolist()]
        return list(zip(words, best.values.tolist(), strict=True))
