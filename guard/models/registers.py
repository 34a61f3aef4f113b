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
class Columns:
    """Linear models over the same runs, one a column."""

    weights: Any
    """Integers of 8 bits, (buckets, columns)."""
    scale: Any
    """Of each column, single precision."""

    def __call__(self, runs: Runs) -> Any:
        """Their logits, (columns,)."""
        return runs.sums(self.weights, LONGEST) * self.scale


@dataclass(frozen=True, slots=True)
class Experts:
    """The corrections of one label."""

    columns: Columns
    bias: Any
    """Of each, single precision."""
    of: Any
    """The register of each, integers."""


@dataclass(frozen=True, slots=True)
class Registers:
    """Tells registers apart, and corrects in each."""

    gate: Columns
    bias: Any
    """Of the gate, single precision, (registers,)."""
    experts: Mapping[str, Experts]
    """By label."""

    def corrections(self, runs: Runs) -> dict[str, float]:
        """What to add to the logit of each label."""
        likely = self.likely(runs)
        return {label: float(likely[one.of] @ (one.columns(runs) + one.bias)) for label, one in self.experts.items()}

    def likely(self, runs: Runs) -> Any:
        """How likely a window is of each register, (registers,); what is missing to 1 is none of them."""
        import numpy as np

        logits = self.gate(runs) + self.bias
        most = max(0.0, float(logits.max()))
        shares = np.exp(logits - most)
        return shares / (shares.sum() + np.exp(-most))


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
    gate = _columns(found, "gate")
    count = gate.weights.shape[1]
    labels = [name.removeprefix(_EXPERT) for name in found if name.startswith(_EXPERT) and name.count(".") == 1]
    experts = {}
    for label in labels:
        name = f"{_EXPERT}{label}"
        columns, of = _columns(found, name), found[f"{name}.of"]
        if of.shape != columns.scale.shape or of.min() < 0 or of.max() >= count or len(columns.weights) != len(gate.weights):
            raise ValueError(f"{name} does not fit {count} registers")
        experts[label] = Experts(columns, _finite(found[f"{name}.bias"], of.shape), of)
    if not experts:
        raise ValueError("no label is corrected")
    return Registers(gate, _finite(found["gate.bias"], (count,)), experts)


def _columns(found: Mapping[str, Any], name: str) -> Columns:
    weights = found[name]
    buckets = len(weights) if weights.ndim == 2 and str(weights.dtype) == "int8" else 0
    if buckets < 2 or buckets & (buckets - 1):
        raise ValueError(f"{name} is {weights.dtype} of shape {weights.shape}, expected int8 with a power of two of rows")
    return Columns(weights, _finite(found[f"{name}.scale"], weights.shape[1:]))


def _finite(found: Any, shape: tuple[int, ...]) -> Any:
    import numpy as np

    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(f"found numbers of shape {found.shape}, expected finite ones of shape {shape}")
    return found.astype(np.float32)
