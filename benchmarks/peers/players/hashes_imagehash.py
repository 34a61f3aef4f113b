"""imagehash, and a linear scan by numpy over what it makes."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from imagehash import phash
from PIL import Image
from playing import Work, play
from searching import RADIUS, hashing, searching


def build(codes: np.ndarray) -> Callable[[np.ndarray], Iterable[tuple[int, int]]]:
    """The hashes as words of 64 bits; the library has no index, and its own difference takes two hashes at a time."""
    words = codes.view(np.uint64)

    def search(query: np.ndarray) -> Iterable[tuple[int, int]]:
        distances = np.bitwise_count(words ^ query.view(np.uint64)).sum(axis=1, dtype=np.uint16)
        near = np.flatnonzero(distances <= RADIUS)
        return list(zip(distances[near], near, strict=True))

    return search


def prepare(case: str, folder: Path) -> Work | None:
    """Hash, or search."""
    if case == "pdq":
        return None
    if case == "phash":
        return hashing(folder, lambda data: str(phash(Image.open(io.BytesIO(data)), hash_size=16)))
    return searching(folder, case, build, lambda pairs: pairs)


play(prepare)
