"""Forward passes of language models over a batch of rows: of a decoder alone, or of an encoder and then a decoder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

OPTIONAL = frozenset({"position_ids", "logits_to_keep"})
"""Arguments of a forward pass that not every architecture takes."""


class Forward(Protocol):
    """A model that was given a batch of prompts, and what it remembers of them."""

    @property
    def device(self) -> torch.device:
        """Where its logits are."""

    @property
    def vocabulary(self) -> int:
        """How many tokens it knows."""

    @property
    def seen(self) -> Sequence[Sequence[int]]:
        """Tokens that stand before each row's first new one, for a repetition penalty."""

    def __call__(self, chosen: torch.Tensor | None, /) -> torch.Tensor:
        """Logits [R, V] of each row's next token, after the tokens that were chosen last ([R, 1]; None: none yet)."""

    def keep(self, rows: torch.Tensor, /) -> None:
        """Forget all rows but these."""

    def takes(self, other: Forward, /) -> bool:
        """Whether the rows of another one can go on beside its own."""

    def join(self, other: Forward, /) -> None:
        """Remember the rows of another one, behind its own."""


class _OfModel:
    """What both kinds tell of their model."""

    model: Any

    @property
    def device(self) -> torch.device:
        """The model's."""
        found: torch.device = self.model.device
        return found

    @property
    def vocabulary(self) -> int:
        """Rows of the model's embedding."""
        return int(self.model.config.get_text_config().vocab_size)


class Causal(_OfModel):
    """A decoder alone: GPT-2, Llama, Qwen and their kin."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        """`prompts`: token ids, none empty."""
        # Padding stands on the left, so that the last column is each row's newest token.
        self.model, self.seen = model, prompts
        self._ids, self._mask = padded(prompts, model.device, left=True)
        self._takes = OPTIONAL & inspect.signature(model.forward).parameters.keys()
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._cache: Any = None

    def __call__(self, chosen: torch.Tensor | None, /) -> torch.Tensor:
        """Read the prompts the first time, one token a row afterwards."""
        import torch

        if chosen is not None:
            self._ids = chosen
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(chosen), 1)], dim=-1)
            self._positions = self._positions[:, -1:] + 1
        extra = {"position_ids": self._positions, "logits_to_keep": 1}
        output = self.model(
            input_ids=self._ids,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **{name: extra[name] for name in self._takes},
        )
        self._cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def keep(self, rows: torch.Tensor, /) -> None:
        """Rows of cache, mask and positions; and of the columns, those that any row that is left has something in."""
        self._cache.batch_select_indices(rows)
        self._mask, self._positions = self._mask[rows], self._positions[rows]
        if self.plain and (empty := int((self._mask.cumsum(-1).amax(0) == 0).sum())):
            self._mask = self._mask[:, empty:]
            for layer in self._cache.layers:
                layer.keys, layer.values = layer.keys[:, :, empty:], layer.values[:, :, empty:]

    def takes(self, other: Forward, /) -> bool:
        """Where positions are told to the model and its cache is keys and values of every token: no windows, no states."""
        return isinstance(other, Causal) and other.model is self.model and self.plain and other.plain

    def join(self, other: Forward, /) -> None:
        """Whichever has fewer columns is padded on the left, as if it had begun so."""
        import torch

        assert isinstance(other, Causal)
        layers, mask, positions = other.state
        width = max(self._mask.shape[-1], mask.shape[-1])
        for mine, theirs in zip(self._cache.layers, layers, strict=True):
            mine.keys = torch.cat([_widened(mine.keys, width), _widened(theirs.keys, width)])
            mine.values = torch.cat([_widened(mine.values, width), _widened(theirs.values, width)])
        masks = [torch.nn.functional.pad(one, (width - one.shape[-1], 0)) for one in (self._mask, mask)]
        self._mask = torch.cat(masks)
        self._positions = torch.cat([self._positions[:, -1:], positions[:, -1:]])

    @property
    def state(self) -> tuple[Sequence[Any], torch.Tensor, torch.Tensor]:
        """Layers of the cache, mask and positions."""
        return self._cache.layers, self._mask, self._positions

    @property
    def plain(self) -> bool:
        """Whether rows may join, and columns go."""
        from transformers.cache_utils import DynamicCache, DynamicLayer

        cache = self._cache
        whole = type(cache) is DynamicCache and all(
            type(layer) is DynamicLayer and layer.is_initialized for layer in cache.layers
        )
        return whole and "position_ids" in self._takes


class EncoderDecoder(_OfModel):
    """An encoder that reads the prompt once, and a decoder that writes: T5, BART and their kin."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], start: Sequence[int]) -> None:
        """`start`: tokens that each output begins with and that are no part of it."""
        import torch

        self.model, self.seen = model, [start] * len(prompts)
        # Padding stands on the right: positions of an encoder may count from its first column.
        ids, self._mask = padded(prompts, model.device, left=False)
        self._ids = torch.tensor([list(start)] * len(prompts), device=model.device)
        with torch.inference_mode():
            self._encoded = model.get_encoder()(input_ids=ids, attention_mask=self._mask, return_dict=True)
        self._cache: Any = None

    def __call__(self, chosen: torch.Tensor | None, /) -> torch.Tensor:
        """Write the start the first time, one token a row afterwards."""
        output = self.model(
            encoder_outputs=self._encoded,
            attention_mask=self._mask,
            decoder_input_ids=self._ids if chosen is None else chosen,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def keep(self, rows: torch.Tensor, /) -> None:
        """Rows of cache, mask and what was read."""
        self._cache.batch_select_indices(rows)
        self._mask = self._mask[rows]
        self._encoded.last_hidden_state = self._encoded.last_hidden_state[rows]

    def takes(self, _other: Forward, /) -> bool:
        """Never: outputs begin at one column, which is where a decoder may count its positions from."""
        return False

    def join(self, _other: Forward, /) -> None:
        """See `takes`."""
        raise AssertionError("rows of an encoder-decoder model were joined, which `takes` never allows")


def _widened(states: torch.Tensor, width: int) -> torch.Tensor:
    """Keys or values [R, H, T, D] with columns of nothing on the left, `width` in all."""
    import torch

    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))


def padded(prompts: Sequence[Sequence[int]], device: torch.device, *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of all rows (int64 [R, T], 0 where there is none) and which of them there are (1, else 0)."""
    import torch

    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        where = slice(width - len(prompt), width) if left else slice(0, len(prompt))
        ids[row, where] = torch.tensor(list(prompt))
        mask[row, where] = 1
    return ids.to(device), mask.to(device)
