"""Corrections of a toxicity model that hold in one register of language: a discussion page is judged otherwise than a post.

    runs of pieces ─> how likely each register is ─┐
                   └> each register's correction ──┴─> their mean, weighed by likelihood, is added to the label's logit

A mixture of local experts (Jacobs, Jordan, Nowlan and Hinton 1991) over the hashed runs of `guard.models.ngrams`. Beside the
registers stands none of them, whose logit is 0 and which corrects nothing: text unlike all of them is left as it was.

`registers.safetensors` holds `gate`, integers of 8 bits, (buckets, registers), with `gate.scale` and `gate.bias`,
(registers,); for each label that is corrected `expert.LABEL`, likewise, (buckets, some), with `expert.LABEL.scale`, their
registers `expert.LABEL.of`, and `expert.LABEL.bias`, (some,).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.errors import ModelError
from guard.models.ngrams import Runs

FILE = "registers.safetensors"
LONGEST = 3
"""The longest run of pieces that is a feature."""
_EXPERT = "expert."


@dataclass(frozen=True, slots=True)
class Experts:
    """The corrections of one label."""

    columns: slice
    """Of `Registers.weights`."""
    of: Any
    """The register of each, integers."""


@dataclass(frozen=True, slots=True)
class Registers:
    """Tells registers apart, and corrects in each."""

    weights: Any
    """Linear models over the same runs, side by side, for a run is looked up once: the gate's, then those of the labels.

    Integers of 8 bits, (buckets, models).
    """
    scale: Any
    """Of each model, single precision; so is `bias`."""
    bias: Any
    count: int
    """Registers."""
    experts: Mapping[str, Experts]
    """By label."""

    def corrections(self, runs: Runs) -> dict[str, float]:
        """What to add to the logit of each label."""
        logits = self._logits(runs)
        likely = self._likely(logits)
        return {label: float(likely[one.of] @ logits[one.columns]) for label, one in self.experts.items()}

    def likely(self, runs: Runs) -> Any:
        """How likely a window is of each register, (registers,); what is missing to 1 is none of them."""
        return self._likely(self._logits(runs))

    def _logits(self, runs: Runs) -> Any:
        return runs.sums(self.weights, LONGEST) * self.scale + self.bias

    def _likely(self, logits: Any) -> Any:
        import numpy as np

        gate = logits[: self.count]
        most = max(0.0, float(gate.max()))
        shares = np.exp(gate - most)
        return shares / (shares.sum() + math.exp(-most))


def load_registers(folder: Path) -> Registers | None:
    """Those of a model's folder; None where it has none. Raises ModelError for a file of another shape."""
    path = folder / FILE
    if not path.exists():
        return None
    from safetensors.numpy import load_file

    try:
        return registers_of(load_file(path))
    except Exception as error:  # the library raises its own class, and NumPy others
        raise ModelError(
            f"{folder.name}: {FILE} cannot be read ({error})",
            advice="Expected what the training scripts of this project write.",
        ) from error


def registers_of(found: Mapping[str, Any]) -> Registers:
    """From the tensors of a file. Raises ValueError and KeyError for others."""
    import numpy as np

    labels = [name.removeprefix(_EXPERT) for name in found if name.startswith(_EXPERT) and name.count(".") == 1]
    if not labels:
        raise ValueError("no label is corrected")
    models = [_models(found, name) for name in ("gate", *(f"{_EXPERT}{label}" for label in labels))]
    count, end, experts = len(models[0][1]), len(models[0][1]), {}
    for label, (weights, scale, _) in zip(labels, models[1:], strict=True):
        of = found[f"{_EXPERT}{label}.of"]
        if of.shape != scale.shape or of.min() < 0 or of.max() >= count or len(weights) != len(models[0][0]):
            raise ValueError(f"{_EXPERT}{label} does not fit {count} registers")
        experts[label] = Experts(slice(end, end + len(of)), of)
        end += len(of)
    weights, scale, bias = (np.concatenate(some, -1) for some in zip(*models, strict=True))
    return Registers(weights, scale, bias, count, experts)


def _models(found: Mapping[str, Any], name: str) -> tuple[Any, Any, Any]:
    """Weights, scale and bias."""
    weights = found[name]
    buckets = len(weights) if weights.ndim == 2 and str(weights.dtype) == "int8" else 0
    if buckets < 2 or buckets & (buckets - 1):
        raise ValueError(f"{name} is {weights.dtype} of shape {weights.shape}, expected int8 with a power of two of rows")
    return weights, *(_finite(found[f"{name}.{part}"], weights.shape[1:]) for part in ("scale", "bias"))


def _finite(found: Any, shape: tuple[int, ...]) -> Any:
    import numpy as np

    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(f"found numbers of shape {found.shape}, expected finite ones of shape {shape}")
    return found.astype(np.float32)
