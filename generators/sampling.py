"""Token sampling from causal language models: one padded batch, and for every row randomness of its own.

`transformers`' own `generate` draws all rows of a batch from one random stream, so that a reply would change with its
neighbours. Here each row has a seed: its uniform draws are made before the first step, and a token is found by inverting the
cumulative distribution. A row's text then depends on its prompt, its seed and the settings alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guard.errors import GenerationError
from guard.protocols import TokenMark

if TYPE_CHECKING:
    import torch

OPTIONAL = frozenset({"position_ids", "logits_to_keep"})
"""Arguments of a forward pass that not every architecture takes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a token is chosen from the logits."""

    temperature: float = 1.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    """Nucleus sampling (Holtzman et al. 2020): the smallest set of tokens with at least this probability."""
    top_k: int = 0
    """Only the k likeliest tokens; 0: all."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens that were seen (Keskar et al. 2019); 1: none."""


def uniform_draws(seed: int, count: int) -> torch.Tensor:
    """`count` numbers in [0, 1) (float64), drawn on the CPU so that a seed means the same on every device."""
    import torch

    return torch.rand(count, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float64)


def choose(
    logits: torch.Tensor,
    seen: torch.Tensor,
    draws: torch.Tensor,
    settings: Settings,
    shift: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """One token a row (int64, [R]).

    `logits`: [R, V]; `seen`: [R, V] bool, tokens that stand in the row already; `draws`: [R] float64 in [0, 1); `shift`: makes
    of the probabilities that all settings leave those that are drawn from, which at temperature 0 nothing is. Raises
    GenerationError when a row's logits are no numbers.
    """
    import torch

    scores = logits.float()
    if settings.repetition_penalty != 1.0:
        weakened = torch.where(scores > 0, scores / settings.repetition_penalty, scores * settings.repetition_penalty)
        scores = torch.where(seen, weakened, scores)
    if not bool(torch.isfinite(scores.amax(-1)).all()):
        raise GenerationError("the model's logits are not finite, expected numbers", advice="Try device `cpu`.")
    if settings.temperature == 0:
        return scores.argmax(-1)
    # Relative to the largest first: no temperature, however low, then overflows.
    scores = (scores - scores.amax(-1, keepdim=True)) / settings.temperature
    if 0 < settings.top_k < scores.shape[-1]:
        weakest = scores.topk(settings.top_k, dim=-1).values[:, -1:]
        scores = scores.masked_fill(scores < weakest, float("-inf"))
    kept = scores.double().softmax(-1)
    if settings.top_p < 1.0:
        ordered, order = kept.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        before[:, 0] = -1.0
        kept = torch.zeros_like(kept).scatter(-1, order, ordered.masked_fill(before >= settings.top_p, 0.0))
    if shift is not None:
        kept = shift(kept)
    # In the order of the vocabulary, not of the probabilities: a difference in the last bit then moves a bound by as much,
    # where an order could turn over.
    bounds = kept.cumsum(-1)
    found = torch.searchsorted(bounds, (draws.unsqueeze(-1) * bounds[:, -1:]).contiguous(), right=True).squeeze(-1)
    return found.clamp(max=logits.shape[-1] - 1)


@dataclass(slots=True)
class _Row:
    """One reply in the making."""

    index: int
    limit: int
    mark: TokenMark | None
    tokens: list[int] = field(default_factory=list)
    contexts: set[tuple[int, ...]] = field(default_factory=set)
    """Of the mark, those that came up."""

    def fresh_context(self) -> tuple[int, ...] | None:
        """What the mark of the next token depends on; None where it is to be left alone."""
        if self.mark is None or len(self.tokens) < self.mark.width:
            return None
        context = tuple(self.tokens[-self.mark.width :])
        if context in self.contexts:
            return None
        self.contexts.add(context)
        return context


class Batch:
    """Several prompts that are continued together, with one forward pass a token; rows that are done leave the batch."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        limits: Sequence[int],
        settings: Settings,
        marks: Sequence[TokenMark | None] = (),
    ) -> None:
        """`prompts`: token ids, none empty; `limits`: new tokens at most, per row; `marks`: per row, empty for none."""
        import torch

        self._model, self._settings, self._device = model, settings, model.device
        self._takes = OPTIONAL & inspect.signature(model.forward).parameters.keys()
        self._rows = [
            _Row(index, limit, mark)
            for index, (limit, mark) in enumerate(zip(limits, marks or [None] * len(limits), strict=True))
        ]
        width = max(map(len, prompts))
        # Padding stands on the left, so that the last column is each row's newest token.
        ids = torch.zeros(len(prompts), width, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        self._seen = torch.zeros(len(prompts), model.config.get_text_config().vocab_size, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
            self._seen[row, list(prompt)] = True
        self._draws = torch.stack([uniform_draws(seed, max(limits)) for seed in seeds]).to(self._device)
        self._ids, self._mask, self._seen = ids.to(self._device), mask.to(self._device), self._seen.to(self._device)
        self._positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self._cache: Any = None
        self._step = 0

    def run(self, ends: Collection[int], complete: Callable[[Sequence[int]], bool]) -> Iterator[tuple[int, list[int]]]:
        """Yield (row, new tokens) as rows end: by a token of `ends` (left out), their limit, or when `complete` says so."""
        while self._rows:
            chosen = self._forward()
            kept: list[int] = []
            for at, (row, token) in enumerate(zip(self._rows, chosen, strict=True)):
                if token not in ends:
                    row.tokens.append(token)
                    if len(row.tokens) < row.limit and not complete(row.tokens):
                        kept.append(at)
            done = [row for at, row in enumerate(self._rows) if at not in set(kept)]
            self._keep(kept)
            for row in done:
                yield row.index, row.tokens

    def _forward(self) -> list[int]:
        import torch

        # Entered for one step only: a context that is open across a `yield` would leak to whoever runs in between.
        with torch.inference_mode():
            extra = {"position_ids": self._positions, "logits_to_keep": 1}
            output = self._model(
                input_ids=self._ids,
                attention_mask=self._mask,
                past_key_values=self._cache,
                use_cache=True,
                **{name: extra[name] for name in self._takes},
            )
            self._cache = output.past_key_values
            chosen = choose(output.logits[:, -1], self._seen, self._draws[:, self._step], self._settings, self._shift())
            self._ids = chosen.unsqueeze(-1)
            self._seen = self._seen.scatter(-1, self._ids, True)
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(chosen), 1)], dim=-1)
            self._positions = self._positions[:, -1:] + 1
            self._step += 1
            return [int(token) for token in chosen.tolist()]

    def _shift(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What the rows' marks do with their probabilities in this step; None for nothing."""
        groups: dict[int, tuple[TokenMark, list[tuple[int, ...] | None]]] = {}
        for at, row in enumerate(self._rows):
            context = row.fresh_context()
            if row.mark is not None and context is not None:
                groups.setdefault(id(row.mark), (row.mark, [None] * len(self._rows)))[1][at] = context
        if not groups:
            return None

        def shift(probabilities: torch.Tensor) -> torch.Tensor:
            for mark, contexts in groups.values():
                probabilities = mark.shift(probabilities, contexts)
            return probabilities

        return shift

    def _keep(self, kept: Sequence[int]) -> None:
        import torch

        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[at] for at in kept]
        if not kept:
            return
        with torch.inference_mode():
            indices = torch.tensor(kept, device=self._device)
            self._cache.batch_select_indices(indices)
            self._ids, self._mask, self._seen = self._ids[indices], self._mask[indices], self._seen[indices]
            self._draws, self._positions = self._draws[indices], self._positions[indices]
