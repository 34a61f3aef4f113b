"""The fast first stage of a cascade: a linear model over pieces and pairs of pieces that settles the clear cases.

A window of text is settled when its score stays under the screen's limit: then it is harmless with near certainty, and the
encoder, a hundred times as slow, does not read it. A window with words that the screen does not know is not settled: what is
not known adds nothing, and the bias alone is above the limit.

`screen.safetensors` holds `weights` (buckets), `bias` and `limit`; hashing and scaling are those of `features`, and
`training/toxicity/screen.py` learns them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.errors import ModelError

FILE = "screen.safetensors"
_FACTOR, _SHIFT = 2_654_435_761, 15
"""Knuth's multiplicative hashing: 2**32 over the golden ratio."""


def features(tokens: Any, buckets: int) -> Any:
    """Distinct buckets of a window's token numbers (without the special ones at its ends) and of their neighbouring pairs.

    `tokens`: integers, (n,); `buckets`: a power of two. Returns integers, (m,), m <= 2n - 1.
    """
    import numpy as np

    tokens = np.asarray(tokens, np.uint64)
    pairs = (tokens[:-1] * np.uint64(_FACTOR) + tokens[1:]) * np.uint64(_FACTOR)
    singles = (tokens + np.uint64(1)) * np.uint64(_FACTOR)
    mixed = np.concatenate([singles, pairs])
    return np.unique((mixed >> np.uint64(_SHIFT)) & np.uint64(buckets - 1)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Screen:
    """A loaded first stage."""

    weights: Any
    """Single precision, (buckets,)."""
    bias: float
    limit: float
    """Windows whose logit is under this are settled."""

    def logit(self, tokens: Sequence[int]) -> float:
        """How toxic a window looks, from its token numbers with both special ones."""
        found = features(tokens[1:-1], len(self.weights))
        return self.bias + float(self.weights[found].sum()) / math.sqrt(max(1, len(found)))

    def settled(self, tokens: Sequence[int]) -> float | None:
        """The probability that a settled window is toxic; None for one that the encoder has to read."""
        logit = self.logit(tokens)
        return 1 / (1 + math.exp(-logit)) if logit < self.limit else None


def load_screen(folder: Path) -> Screen | None:
    """The folder's first stage; None when it has none. Raises ModelError for a file of another shape."""
    path = folder / FILE
    if not path.exists():
        return None
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        weights = found["weights"].astype("float32")
        screen = Screen(weights, found["bias"].item(), found["limit"].item())
    except Exception as error:  # the library raises its own class, and NumPy others
        raise ModelError(f"{folder.name}: {FILE} cannot be read as a screen ({type(error).__name__})") from error
    buckets = len(weights) if weights.ndim == 1 else 0
    if buckets < 2 or buckets & (buckets - 1) or not math.isfinite(screen.bias) or not math.isfinite(screen.limit):
        raise ModelError(
            f"{folder.name}: {FILE} has weights of shape {weights.shape}, expected a power of two of finite numbers"
        )
    return screen
