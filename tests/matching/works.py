"""Works for tests: hashes that are random, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from guard.matching.works import Fingerprint, Work


def hashed(name: str, seed: int = 0, **facts: object) -> Work:
    """A work that is known by one random hash."""
    return Work(name, f"Work {name}", fingerprints=(Fingerprint("pdq", print_of(seed), "whole"),), **facts)  # type: ignore[arg-type]


def print_of(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(32)


def many(count: int, start: int = 0) -> Iterator[Work]:
    """Works w0, w1, … each with its own hash."""
    for number in range(start, start + count):
        yield hashed(f"w{number}", number)
