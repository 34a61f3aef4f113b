"""Marks in the choice of tokens: which tokens a keyed stream favours after which, how sampling follows it, and how it is read.

Two published methods, with a keyed stream of their own. After each context, the last WIDTH tokens, SHAKE-128 of a secret and
the context gives every token of the vocabulary its bytes; without the secret they are noise. Both leave a context that came
before in the same text alone, so that no loop is driven deeper; only the first of each is read: repetition is no evidence.

`green_list` (Kirchenbauer et al. 2023): a quarter of the vocabulary is green, and its odds are multiplied by e^bias. Read by
counting: without the mark the green tokens are binomial with 1/4, exactly, over the choice of the key.

`synthid` (SynthID-Text, Dathathri et al. 2024, two candidates a match): the token wins a knock-out of 2^LAYERS candidates, in
each layer by one of its bits. Over all keys the model's distribution stays as it is. Read by the mean of the bits, earlier
layers weighing more, without a trained detector: unmarked bits are fair coins, so their weighted sum is as good as normal.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

Method = Literal["synthid", "green_list"]
Strength = Literal["low", "medium", "high"]
METHODS: tuple[Method, ...] = get_args(Method)

WIDTH = 3
"""Tokens of a context."""
GREEN = 64
"""Of the 256 values of a byte, those that make a token green."""
BIASES: dict[Strength, float] = {"low": 1.0, "medium": 2.0, "high": 3.0}
"""What is added to the logits of green tokens."""
LAYERS = 16
"""Layers of the knock-out."""
LEAST_TOKENS = 40
"""Contexts below which a text is too short to tell: of marked replies of fewer, most are not recognised."""
SURE = 1e-4
"""Largest p-value that is called a mark. Below the wanted 1 in 1000: p is exact over all keys, but with one key formulaic
texts, which share their phrases, err together."""
_BYTES = {"green_list": 1, "synthid": LAYERS // 8}
"""Of the stream, for each token of the vocabulary."""


class Verdict(StrEnum):
    """What can be said of a text."""

    MARKED = "marked"
    UNMARKED = "unmarked"
    """Not marked with this key, or no longer, or too faintly to tell it from chance."""
    TOO_SHORT = "too short"


@dataclass(frozen=True, slots=True)
class TextReading:
    """What a reader makes of a text."""

    method: Method
    z: float
    """Standard deviations above what an unmarked text has on average."""
    p: float
    """Probability that an unmarked text reads at least like this, over the choice of the key."""
    tokens: int
    """How many it was computed on: those after a context that had not come before."""

    @property
    def verdict(self) -> Verdict:
        """What follows; a text that is too short is never called marked."""
        if self.tokens < LEAST_TOKENS:
            return Verdict.TOO_SHORT
        return Verdict.MARKED if self.p <= SURE else Verdict.UNMARKED


class TokenWatermark:
    """A `guard.protocols.TokenMark` of one method and key, which also reads itself. Keeps no state."""

    width = WIDTH

    def __init__(self, key: bytes, method: Method, strength: Strength = "medium") -> None:
        """`key`: the operator's secret. `strength` is for `green_list`; reading does not depend on it."""
        self.method: Method = method
        self.bias = BIASES[strength]
        self._each = _BYTES[method]
        self._secret = hashlib.shake_256(b"genguard/text/1\0" + key + b"\0" + method.encode()).digest(32)

    def shift(self, probabilities: Any, contexts: Sequence[Sequence[int] | None], /) -> Any:
        """The probabilities (float64 tensor [R, V]) from which the next tokens are drawn.

        `contexts`: the last WIDTH tokens of each row; None leaves a row as it is. Rows need not sum to 1; what is
        shifted does.
        """
        import torch

        rows = [at for at, context in enumerate(contexts) if context is not None]
        if not rows:
            return probabilities
        size = probabilities.shape[-1]
        stream = torch.stack([torch.tensor(self._stream(context, size)) for context in contexts if context is not None])
        indices = torch.tensor(rows, device=probabilities.device)
        given = probabilities[indices]
        shifted = self._shifted(given / given.sum(-1, keepdim=True), stream.to(probabilities.device))
        return probabilities.index_copy(0, indices, shifted)

    def read(self, tokens: Sequence[int]) -> TextReading:
        """What a text's tokens say of this mark."""
        import numpy as np

        found = [self._stream(context, token + 1)[token] for context, token in _first_of_each(tokens)]
        if not found:
            return TextReading(self.method, 0.0, 1.0, 0)
        drawn, count = np.stack(found), len(found)
        if self.method == "green_list":
            green, share = int((drawn[:, 0] < GREEN).sum()), GREEN / 256
            z = (green - share * count) / math.sqrt(count * share * (1 - share))
            return TextReading(self.method, z, binomial_tail(green, count, share), count)
        signs = np.unpackbits(drawn, axis=1) * 2.0 - 1.0
        weights = np.linspace(10.0, 1.0, LAYERS)
        z = float((signs @ weights).sum() / math.sqrt(count * float(weights @ weights)))
        return TextReading(self.method, z, math.erfc(z / math.sqrt(2)) / 2, count)

    def _shifted(self, probabilities: Any, stream: Any) -> Any:
        """`stream`: [R, V, bytes]."""
        if self.method == "green_list":
            favoured = probabilities * (self.bias * (stream[..., 0] < GREEN)).exp()
            return favoured / favoured.sum(-1, keepdim=True)
        for layer in range(LAYERS):
            bit = (stream[..., layer // 8] >> (7 - layer % 8)) & 1
            # The winner of two draws: a token of bit 1 beats all of bit 0.
            probabilities = probabilities * (1 + bit - (probabilities * bit).sum(-1, keepdim=True))
        return probabilities

    def _stream(self, context: Sequence[int], tokens: int) -> Bytes:
        """Bytes of the first `tokens` tokens of the vocabulary after a context."""
        import numpy as np

        packed = b"".join(int(token).to_bytes(4, "little") for token in context)
        drawn = hashlib.shake_128(self._secret + packed).digest(tokens * self._each)
        return np.frombuffer(bytearray(drawn), np.uint8).reshape(tokens, self._each)


def binomial_tail(least: int, count: int, share: float) -> float:
    """Probability of at least `least` successes in `count` independent trials of probability `share`."""
    if least <= 0:
        return 1.0
    logs = [
        math.lgamma(count + 1)
        - math.lgamma(one + 1)
        - math.lgamma(count - one + 1)
        + one * math.log(share)
        + (count - one) * math.log1p(-share)
        for one in range(least, count + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


def _first_of_each(tokens: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int]]:
    """(context, next token) where the context occurs for the first time."""
    seen: set[tuple[int, ...]] = set()
    for at in range(WIDTH, len(tokens)):
        context = tuple(tokens[at - WIDTH : at])
        if context not in seen:
            seen.add(context)
            yield context, tokens[at]
