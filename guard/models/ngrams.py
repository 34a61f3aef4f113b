"""The n-gram part of a toxicity model: a linear model over hashed runs of pieces, beside the encoder.

It does two things, each of them where the folder has it:

- **It settles** a window that is harmless with near certainty, so that the encoder, a hundred times as slow, need not read it:
  its score stays under a limit. A window of words that it does not know is not settled: what is not known adds nothing, and the
  bias alone is above the limit.
- **It corrects** the encoder's score for `toxicity`, or another label: the logits of both are weighed and added. A linear model
  over words and a network err in different places.

`ngrams.safetensors` holds `screen` and `limit`, `blend` and `mixture` for `toxicity`, `blend.LABEL` and `mixture.LABEL` for
others; hashing and scaling are those of `features`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.errors import ModelError

FILE = "ngrams.safetensors"
TOXICITY = "toxicity"
"""The label that the screen speaks of, and the one whose correction has no label in its tensors' names."""
SCREEN_LONGEST, BLEND_LONGEST = 2, 3
"""The longest run of pieces that is a feature."""
SCREEN_BIAS = -1.0
SETTLED_SCALE = 1 / 50
"""The screen was taught the highest score of any label, before the bias: its settled windows must not rank above read ones."""
_FACTOR, _SHIFT = 2_654_435_761, 15
"""Knuth's multiplicative hashing: 2**32 over the golden ratio."""


def features(tokens: Any, buckets: int, longest: int) -> Any:
    """Distinct buckets of a window's token numbers (without the special ones at its ends) and of their runs.

    `tokens`: integers, (n,); `buckets`: a power of two; `longest`: of a run, in tokens. Returns integers, at most longest * n.
    """
    return _distinct(_keys(tokens, longest), buckets)


def _keys(tokens: Any, longest: int) -> Any:
    """What runs are hashed to, the short ones first: (at most longest * n,)."""
    import numpy as np

    factor, tokens = np.uint64(_FACTOR), np.asarray(tokens, np.uint64)
    length, following = len(tokens), tokens + np.uint64(1)
    keys = np.empty(sum(max(0, length - size) for size in range(longest)), np.uint64)
    done, run = 0, np.zeros(length + 1, np.uint64)
    for size in range(min(longest, length)):
        left = length - size
        run = np.multiply(run[:left] + following[size:], factor, out=keys[done : done + left])
        done += left
    return keys


def _distinct(keys: Any, buckets: int) -> Any:
    import numpy as np

    if not len(keys):
        return np.zeros(0, np.int64)
    found = (keys >> np.uint64(_SHIFT)) & np.uint64(buckets - 1)
    found.sort()  # and not `unique`, which takes three times as long for so few
    first = np.empty(len(found), np.bool_)
    first[0] = True
    np.not_equal(found[1:], found[:-1], out=first[1:])
    return found[first].view(np.int64)


def logit(weights: Any, tokens: Sequence[int], longest: int) -> float:
    """Sum of the weights of a window's features over the root of their number; 0 for none. `tokens`: with both special ones."""
    return Runs(tokens).logit(weights, longest)


class Runs:
    """One window's features: those of a kind are looked for once."""

    def __init__(self, tokens: Sequence[int]) -> None:
        """`tokens`: with both special ones."""
        self._tokens = tokens[1:-1]
        self._keys: dict[int, Any] = {}
        self._found: dict[tuple[int, int], Any] = {}

    def logit(self, weights: Any, longest: int) -> float:
        """As the function of that name."""
        found = self._of(len(weights), longest)
        return float(weights[found].sum()) / math.sqrt(max(1, len(found)))

    def sums(self, weights: Any, longest: int) -> Any:
        """The same of several models at once. `weights`: integers, (buckets, models); returns (models,)."""
        found = self._of(len(weights), longest)
        return weights[found].sum(0, dtype="int32") / math.sqrt(max(1, len(found)))

    def _of(self, buckets: int, longest: int) -> Any:
        """The window's features."""
        kind = buckets, longest
        if kind not in self._found:
            if longest not in self._keys:
                self._keys[longest] = _keys(self._tokens, longest)
            self._found[kind] = _distinct(self._keys[longest], buckets)
        return self._found[kind]


@dataclass(frozen=True, slots=True)
class Screen:
    """Settles clear cases."""

    weights: Any
    """Single precision, (buckets,)."""
    limit: float
    """Windows whose logit is under this are settled."""

    def settled(self, tokens: Sequence[int]) -> float | None:
        """The score of a settled window, under those that the encoder gives; None for one that the encoder has to read."""
        found = SCREEN_BIAS + logit(self.weights, tokens, SCREEN_LONGEST)
        return SETTLED_SCALE / (1 + math.exp(-found)) if found < self.limit else None


@dataclass(frozen=True, slots=True)
class Blend:
    """Corrects the encoder's logit of one label."""

    weights: Any
    """Single precision, (buckets,)."""
    encoder: float
    own: float
    bias: float

    def corrected(self, encoder: float, runs: Runs) -> float:
        """The logit of both together."""
        return self.encoder * encoder + self.own * runs.logit(self.weights, BLEND_LONGEST) + self.bias


def load_ngrams(folder: Path) -> tuple[Screen | None, dict[str, Blend]]:
    """The screen, where the folder has one, and the corrections by label. Raises ModelError for a file of another shape."""
    path = folder / FILE
    if not path.exists():
        return None, {}
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        screen = Screen(_weights(found["screen"]), _limit(found["limit"])) if "screen" in found else None
        suffixes = [name.removeprefix("blend") for name in found if name.partition(".")[0] == "blend"]
        blends = {
            suffix[1:] or TOXICITY: Blend(_weights(found[f"blend{suffix}"]), *_mixture(found[f"mixture{suffix}"]))
            for suffix in suffixes
        }
    except Exception as error:  # the library raises its own class, and NumPy others
        raise ModelError(
            f"{folder.name}: {FILE} cannot be read ({error})",
            advice="Expected what the training scripts of this project write.",
        ) from error
    return screen, blends


def _weights(found: Any) -> Any:
    import numpy as np

    buckets = len(found) if found.ndim == 1 else 0
    if buckets < 2 or buckets & (buckets - 1) or not np.isfinite(found).all():
        raise ValueError(f"weights of shape {found.shape}, expected a power of two of finite numbers")
    return found.astype(np.float32)


def _mixture(found: Any) -> tuple[float, float, float]:
    encoder, own, bias = map(_number, found)
    return encoder, own, bias


def _limit(found: Any) -> float:
    value = _number(found)
    if value >= SCREEN_BIAS:
        raise ValueError(f"limit is {value}, expected less than {SCREEN_BIAS}")
    return value


def _number(found: Any) -> float:
    value = float(found.item())
    if not math.isfinite(value):
        raise ValueError(f"found {value}, expected a finite number")
    return value
