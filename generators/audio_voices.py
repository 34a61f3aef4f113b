"""Voices of text-to-audio models: numbers of speakers, or files with the numbers that describe one. No pickles.

A file is `.npy` (one array), `.npz` (several by name) or `.safetensors`. SpeechT5 speaks with an x-vector, Bark goes on from
three rows of codes: `semantic_prompt`, `coarse_prompt` and `fine_prompt`, as its presets have them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.errors import ParameterError
from guard.models import sha256

if TYPE_CHECKING:
    import torch

DEFAULT = "default"
"""The voice of a caller who asks for none."""
PROMPTS = ("semantic_prompt", "coarse_prompt", "fine_prompt")
MOST_BYTES = 16 << 20
"""Of one file."""
Given = Mapping[str, int | str]
"""An operator's names for voices: each the number of a speaker, or a file; a relative path begins in the model's folder."""
Voice = int | Mapping[str, "torch.Tensor"] | None
"""A speaker's number, or arrays on the model's device by name; None: the model's own, whoever that is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What voices of a model are given as."""

    speakers: int = 1
    """How many it has by number; where it has no `arrays`."""
    arrays: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    """What a file holds, with its shapes; None: as long as it is."""
    most: Mapping[str, int] = field(default_factory=dict)
    """Arrays that hold whole numbers from 0, each with the first number that is too large. All others hold any."""


@dataclass(frozen=True, slots=True)
class Voices:
    """All voices of one model, by name."""

    known: Mapping[str, Voice]
    digests: Mapping[str, str]
    """SHA-256 of those that come from files."""


def voices(name: str, wanted: Wanted, given: Given, folder: Path, device: Any) -> Voices:
    """The voices that an operator named, beside a model's own. `name`: the generator's, for errors; `folder`: the model's.

    Raises ParameterError for a voice that the model does not have, and for a file that is none.
    """
    known, digests = _own(wanted, device), {}
    for voice, value in given.items():
        where = f"{name}: voices: {voice!r}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ParameterError(f"{where}: found {type(value).__name__}, expected a speaker's number or a file")
        if isinstance(value, int):
            if wanted.arrays:
                raise ParameterError(f"{where}: found a number, expected a file: this model has no speakers by number")
            if not 0 <= value < wanted.speakers:
                raise ParameterError(f"{name}: voices: found speaker {value}, expected 0 to {wanted.speakers - 1}")
            known[voice] = value
            continue
        if not wanted.arrays:
            raise ParameterError(f"{where}: found a file, expected a number: this model speaks as none that is described")
        path = folder / value
        arrays = _read(path, where)
        known[voice] = {one: _checked(arrays, one, wanted, where).to(device) for one in wanted.arrays}
        digests[voice] = sha256(path)
    return Voices(known, digests)


def _own(wanted: Wanted, device: Any) -> dict[str, Voice]:
    """Those without an operator's word: the first speaker, or who stands at the middle of all, where that can be."""
    import torch

    if not wanted.arrays:
        numbers = {str(one): one for one in range(wanted.speakers)} if wanted.speakers > 1 else {}
        return {DEFAULT: 0, **numbers}
    shapes = {one: [size for size in shape if size is not None] for one, shape in wanted.arrays.items()}
    if any(len(shapes[one]) < len(shape) for one, shape in wanted.arrays.items()):
        return {DEFAULT: None}
    return {DEFAULT: {one: torch.zeros(shape, device=device) for one, shape in shapes.items()}}


def _read(path: Path, where: str) -> Mapping[str, Any]:
    """The arrays of a file, as NumPy's."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ParameterError(f"{where}: found a file of {path.stat().st_size} bytes, expected at most {MOST_BYTES}")
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if path.suffix == ".npy":
            return {"": np.load(path, allow_pickle=False)}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as found:
                return {one: found[one] for one in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise ParameterError(
            f"{where}: its file cannot be read ({type(error).__name__})",
            advice="Expected plain arrays; files with Python objects in them are not read.",
        ) from None
    raise ParameterError(f"{where}: found a file {path.suffix or 'without an ending'!r}, expected .npy, .npz or .safetensors")


def _checked(arrays: Mapping[str, Any], name: str, wanted: Wanted, where: str) -> torch.Tensor:
    """One array as it has to be, on the processor."""
    import numpy as np
    import torch

    alone = len(wanted.arrays) == len(arrays) == 1
    found = next(iter(arrays.values())) if alone else arrays.get(name)
    if found is None:
        raise ParameterError(f"{where}: found no array {name!r} in its file, expected {', '.join(wanted.arrays)}")
    shape, most = wanted.arrays[name], wanted.most.get(name)
    while found.ndim > len(shape) and found.shape[0] == 1:
        found = found[0]
    if found.ndim != len(shape) or any(size not in {None, had} for size, had in zip(shape, found.shape, strict=True)):
        expected = " x ".join("any" if size is None else str(size) for size in shape)
        raise ParameterError(f"{where}: {name}: found an array of {found.shape}, expected {expected}")
    if most is None:
        if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
            raise ParameterError(f"{where}: {name}: found something that is no finite number")
        return torch.from_numpy(np.ascontiguousarray(found, np.float32))
    if found.dtype.kind not in "iu" or not found.size or found.min() < 0 or found.max() >= most:
        raise ParameterError(f"{where}: {name}: expected whole numbers from 0 to {most - 1}, one or more")
    return torch.from_numpy(np.ascontiguousarray(found, np.int64))
