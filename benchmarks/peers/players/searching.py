"""What the players that search hashes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from playing import Call, Work, at_once

RADIUS = 31
Hits = list[list[int]]
"""Distance and number of each, sorted."""


def hashing(folder: Path, digest: Callable[[bytes], str]) -> Work:
    """Hash all photographs."""
    files = [file.read_bytes() for file in sorted(folder.glob("*.jpg"))]
    return Work(at_once(lambda: [digest(data) for data in files]), len(files), lambda: [digest(data) for data in files])


def searching(folder: Path, size: str, build: Callable[[np.ndarray], Callable[[np.ndarray], object]], hits: Callable) -> Work:
    """Search for one query after the other. `hits`: what a search gave, as pairs of distance and number from 0."""
    codes, queries = np.load(folder / f"codes-{size}.npy"), np.load(folder / f"queries-{size}.npy")
    began = time.process_time()
    search = build(codes)
    built = time.process_time() - began
    place = 0

    async def call() -> None:
        nonlocal place
        search(queries[place % len(queries)])
        place += 1

    def tell() -> list[Hits]:
        return [ordered(hits(search(query))) for query in queries]

    return Work(call, 1, tell, fixed={"built_s": built})


def ordered(pairs: Iterable[tuple[object, object]]) -> Hits:
    """As JSON, so that all write the same."""
    return sorted([int(distance), int(number)] for distance, number in pairs)  # type: ignore[call-overload]


__all__ = ["RADIUS", "Call", "Work", "hashing", "ordered", "searching"]
