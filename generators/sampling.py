"""Token sampling from language models: one padded batch, and for every row randomness and settings of its own.

`transformers`' own `generate` draws all rows of a batch from one random stream, so that a reply would change with its
neighbours. Here each row has a seed: its uniform draws are made before the first step, and a token is found by inverting the
cumulative distribution. A row's text then depends on its prompt, its seed and the settings alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from generators.forward import Forward
from guard.errors import GenerationError
from guard.protocols import TokenMark

if TYPE_CHECKING:
    import torch


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


@dataclass(frozen=True, slots=True)
class Order:
    """What one row of a batch is to be."""

    prompt: Sequence[int]
    """Token ids, not empty."""
    seed: int
    limit: int
    """New tokens at most."""
    settings: Settings = field(default_factory=Settings)
    mark: TokenMark | None = None
    top: int | None = None
    """How many of the likeliest tokens to score beside each that is drawn; None: score none at all."""


@dataclass(frozen=True, slots=True)
class Score:
    """How likely the model finds a token, before any setting: natural logarithms of probabilities."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one step brought one row."""

    row: int
    """Its name."""
    token: int | None
    """None for a token that ends an output: it is no part of it."""
    finish: str
    """`stop` or `length` when the row is done; empty when it goes on."""
    score: Score | None = None


@dataclass(slots=True)
class _Row:
    """One reply in the making."""

    name: int
    order: Order
    draws: list[float]
    """One for each token that it may have."""
    tokens: list[int] = field(default_factory=list)
    contexts: set[tuple[int, ...]] = field(default_factory=set)
    """Of the mark, those that came up."""

    def fresh_context(self) -> tuple[int, ...] | None:
        """What the mark of the next token depends on; None where it is to be left alone."""
        mark = self.order.mark
        if mark is None or len(self.tokens) < mark.width:
            return None
        context = tuple(self.tokens[-mark.width :])
        if context in self.contexts:
            return None
        self.contexts.add(context)
        return context


class Batch:
    """Several prompts that are continued together, with one forward pass a token; rows leave, others join."""

    def __init__(self, forward: Forward, orders: Sequence[Order], names: Sequence[int] = ()) -> None:
        """`forward`: the model's, begun with the prompts of these very orders; `names`: of its rows, else 0, 1, …"""
        import torch

        self._forward = forward
        self._rows = [
            _Row(name, order, uniform_draws(order.seed, order.limit).tolist())
            for name, order in zip(names or range(len(orders)), orders, strict=True)
        ]
        self._seen = torch.zeros(len(orders), forward.vocabulary, dtype=torch.bool)
        for row, tokens in enumerate(forward.seen):
            self._seen[row, list(tokens)] = True
        self._seen = self._seen.to(forward.device)
        self._chosen: torch.Tensor | None = None

    @property
    def names(self) -> list[int]:
        """Of the rows that are left."""
        return [row.name for row in self._rows]

    def steps(self, ends: Collection[int], complete: Callable[[int, int], bool]) -> Iterator[list[Drawn]]:
        """Yield what each step brought the rows that are left, until none is."""
        while self._rows:
            yield self.step(ends, complete)

    def step(self, ends: Collection[int], complete: Callable[[int, int], bool]) -> list[Drawn]:
        """Draw one token for every row.

        A row ends by a token of `ends`, at its limit, or when `complete`, called with its name and the token, says so.
        """
        chosen, scores = self._draw()
        drawn = []
        for row, token, score in zip(self._rows, chosen, scores, strict=True):
            if token in ends:
                drawn.append(Drawn(row.name, None, "stop"))
                continue
            row.tokens.append(token)
            finish = "length" if len(row.tokens) >= row.order.limit else ""
            drawn.append(Drawn(row.name, token, "stop" if complete(row.name, token) else finish, score))
        self._keep([at for at, one in enumerate(drawn) if not one.finish])
        return drawn

    def leave(self, names: Collection[int]) -> None:
        """Let rows go before they are done. To be asked after a step."""
        self._keep([at for at, row in enumerate(self._rows) if row.name not in names])

    def takes(self, other: Batch) -> bool:
        """Whether the rows of another batch can join; both have made a step."""
        return self._forward.takes(other._forward)

    def join(self, other: Batch) -> None:
        """Take over the rows of another batch, which is not to be used any more."""
        import torch

        assert self._chosen is not None
        assert other._chosen is not None
        with torch.inference_mode():
            self._forward.join(other._forward)
            self._chosen = torch.cat([self._chosen, other._chosen])
            self._seen = torch.cat([self._seen, other._seen])
        self._rows += other._rows

    def _draw(self) -> tuple[list[int], list[Score | None]]:
        import torch

        # Entered for one step only: a context that is open across a `yield` would leak to whoever runs in between.
        with torch.inference_mode():
            logits = self._forward(self._chosen)
            self._chosen = self._choose(logits).unsqueeze(-1)
            self._seen = self._seen.scatter(-1, self._chosen, True)
            return [int(token) for token in self._chosen.squeeze(-1).tolist()], self._scores(logits)

    def _choose(self, logits: torch.Tensor) -> torch.Tensor:
        """One token a row, by the settings of each."""
        import torch

        next_draws = [row.draws[len(row.tokens)] for row in self._rows]
        draws, shift = torch.tensor(next_draws, dtype=torch.float64).to(logits.device), self._shift()
        groups: dict[Settings, list[int]] = {}
        for at, row in enumerate(self._rows):
            groups.setdefault(row.order.settings, []).append(at)
        if len(groups) == 1:
            return choose(logits, self._seen, draws, self._rows[0].order.settings, shift and shift(range(len(self._rows))))
        chosen = torch.empty(len(self._rows), dtype=torch.int64, device=logits.device)
        for settings, members in groups.items():
            rows = torch.tensor(members, device=logits.device)
            chosen[rows] = choose(logits[rows], self._seen[rows], draws[rows], settings, shift and shift(members))
        return chosen

    def _scores(self, logits: torch.Tensor) -> list[Score | None]:
        found: list[Score | None] = [None] * len(self._rows)
        for at, row in enumerate(self._rows):
            if row.order.top is not None and self._chosen is not None:
                likely = logits[at].float().log_softmax(-1)
                best = likely.topk(min(row.order.top, len(likely)))
                top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
                found[at] = Score(float(likely[self._chosen[at, 0]]), top)
        return found

    def _shift(self) -> Callable[[Sequence[int]], Callable[[torch.Tensor], torch.Tensor]] | None:
        """What the marks of some rows do with their probabilities in this step; None for nothing."""
        marked: dict[int, tuple[TokenMark, list[tuple[int, ...] | None]]] = {}
        for at, row in enumerate(self._rows):
            context, mark = row.fresh_context(), row.order.mark
            if mark is not None and context is not None:
                marked.setdefault(id(mark), (mark, [None] * len(self._rows)))[1][at] = context
        if not marked:
            return None

        def of(members: Sequence[int]) -> Callable[[torch.Tensor], torch.Tensor]:
            def shift(probabilities: torch.Tensor) -> torch.Tensor:
                for mark, contexts in marked.values():
                    probabilities = mark.shift(probabilities, [contexts[at] for at in members])
                return probabilities

            return shift

        return of

    def _keep(self, kept: Sequence[int]) -> None:
        import torch

        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[at] for at in kept]
        if not kept or self._chosen is None:
            return
        with torch.inference_mode():
            indices = torch.tensor(kept, device=self._seen.device)
            self._forward.keep(indices)
            self._chosen, self._seen = self._chosen[indices], self._seen[indices]
