"""threatexchange's PDQ signal and the index that it makes for it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import faiss
import numpy as np
from playing import Work, play
from searching import RADIUS, hashing, searching
from threatexchange.signal_type.pdq.signal import PdqSignal


def build(codes: np.ndarray) -> Callable[[np.ndarray], Sequence[object]]:
    """Its index takes hashes as hexadecimal text; its radius is set."""
    index = PdqSignal.get_index_cls()((code.tobytes().hex(), number) for number, code in enumerate(codes))
    if index.get_match_threshold() != RADIUS:
        raise ValueError(f"the radius is {index.get_match_threshold()}, expected {RADIUS}")
    return lambda query: index.query(query.tobytes().hex())


def prepare(case: str, folder: Path) -> Work | None:
    """Hash, or search."""
    if case == "phash":
        return None
    faiss.omp_set_num_threads(1)
    if case == "pdq":
        return hashing(folder, PdqSignal.hash_from_bytes)
    return searching(folder, case, build, lambda found: [(one.similarity_info.distance, one.metadata) for one in found])


play(prepare)
