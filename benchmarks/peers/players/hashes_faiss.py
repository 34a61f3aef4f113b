"""FAISS: every hash is compared."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from playing import Work, play
from searching import RADIUS, searching

Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def build(codes: np.ndarray) -> Callable[[np.ndarray], Found]:
    """A flat index; its radius leaves out what lies on it."""
    index = faiss.IndexBinaryFlat(256)
    index.add(codes)
    return lambda query: index.range_search(query[None], RADIUS + 1)


def prepare(case: str, folder: Path) -> Work | None:
    """Search alone."""
    if not case.isdecimal():
        return None
    faiss.omp_set_num_threads(1)
    return searching(folder, case, build, lambda found: zip(found[1], found[2], strict=True))


play(prepare)
