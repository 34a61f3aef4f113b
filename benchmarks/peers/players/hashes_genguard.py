"""genguard's hashes and its index."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from playing import Work, play
from searching import RADIUS, hashing, searching

from guard.imaging import open_picture
from guard.matching.hamming import HammingIndex, Hit
from guard.matching.hashes import PDQ, PHash


def build(codes: np.ndarray) -> Callable[[np.ndarray], list[Hit]]:
    """An index of them all, numbered from 1."""
    index = HammingIndex.from_arrays("pdq", codes, np.arange(1, len(codes) + 1))
    return lambda query: index.search([query.tobytes()], RADIUS)


def prepare(case: str, folder: Path) -> Work:
    """Hash, or search."""
    if case == "phash":
        return hashing(folder, lambda data: PHash().upright(open_picture(data).convert("RGB")).hex())
    if case == "pdq":
        return hashing(folder, lambda data: PDQ()(open_picture(data).convert("RGB")).orientations[0].hex())
    build(np.load(folder / f"codes-{case}.npy")[: 1 << 15])  # loads what was compiled
    return searching(folder, case, build, lambda hits: [(hit.distance, hit.number - 1) for hit in hits])


play(prepare)
