"""The ways in which a work is recognised: for each method its modality, and where its index lives."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from guard.errors import ModelError
from guard.matching.snapshot import WorkIndex
from guard.types import Modality


@dataclass(frozen=True, slots=True)
class Method:
    """One way to recognise a work."""

    modality: Modality
    index: str
    """`module:class` of its index, imported when first used."""
    about: str
    saved_from: int = 1000
    """Fingerprints from which a bank saves its index: fewer are indexed again faster than files are opened."""


_HASH = "guard.matching.hamming:HammingIndex"
_LOCAL = "guard.matching.local_index:LocalIndex"
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "pdq": Method(Modality.IMAGE, _HASH, "PDQ, 256 bits"),
        "phash": Method(Modality.IMAGE, _HASH, "pHash of 16 x 16 frequencies, 256 bits"),
        "dhash": Method(Modality.IMAGE, _HASH, "dHash of a 17 x 16 grid, 256 bits"),
        "whash": Method(Modality.IMAGE, _HASH, "wHash of 16 x 16 Haar coefficients, 256 bits"),
        "crop_resistant": Method(Modality.IMAGE, _HASH, "dHash of each segment, 256 bits each"),
        "local": Method(Modality.IMAGE, _LOCAL, "SIFT details, codes of 128 bits with place, size and direction"),
        "runs": Method(Modality.TEXT, "guard.matching.runs:RunIndex", "Verbatim runs: winnowed hashes of 24 letters", 10),
        "overlap": Method(Modality.TEXT, "guard.matching.overlap:OverlapIndex", "Reworded passages: hashes of three words", 10),
    }
)


def index_class(method: str) -> type[WorkIndex]:
    """The class of a method's index. Raises ModelError for an unknown method."""
    if method not in METHODS:
        raise ModelError(f"unknown fingerprint method {method!r}, expected one of: {', '.join(METHODS)}")
    module, _, name = METHODS[method].index.partition(":")
    return cast("type[WorkIndex]", getattr(importlib.import_module(module), name))
