"""Compiled search for near codes of 128 bits. Imported by name, when a local index is first searched."""

from __future__ import annotations

from typing import Any

import numpy as np

from guard.compiled import compiled


@compiled(inline="always")
def _ones(word: Any) -> Any:
    """Bits that are set in 64 (the compiler makes one instruction of it)."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled()
def nearest_lists(queries: Any, centres: Any, out: Any) -> None:
    """For each query the `out.shape[1]` centres nearest to it, nearest first; equal ones by number."""
    wanted = out.shape[1]
    best = np.empty(wanted, np.int64)
    for q in range(len(queries)):
        best[:] = 1 << 40
        for c in range(len(centres)):
            distance = _ones(queries[q, 0] ^ centres[c, 0]) + _ones(queries[q, 1] ^ centres[c, 1])
            key = (np.int64(distance) << 32) | c
            if key < best[wanted - 1]:
                k = wanted - 1
                while k > 0 and best[k - 1] > key:
                    best[k] = best[k - 1]
                    k -= 1
                best[k] = key
        for k in range(wanted):
            out[q, k] = best[k] & 0xFFFFFFFF


@compiled()
def search_lists(queries: Any, probes: Any, codes: Any, starts: Any, rows: Any, dropped: Any, offset: Any, best: Any) -> None:
    """Sharpen `best`, for each query ascending keys (distance above entry), by the codes of its probed lists.

    List i is the rows from `starts[i]` to `starts[i + 1]`; `rows` has the entry of each, to which `offset` is added. `dropped`:
    entries that are not found any more (empty: none).
    """
    wanted = best.shape[1]
    for q in range(len(queries)):
        for p in range(probes.shape[1]):
            for row in range(starts[probes[q, p]], starts[probes[q, p] + 1]):
                distance = _ones(queries[q, 0] ^ codes[row, 0]) + _ones(queries[q, 1] ^ codes[row, 1])
                if np.int64(distance) > best[q, wanted - 1] >> 32:
                    continue
                entry = np.int64(rows[row])
                key = (np.int64(distance) << 32) | (entry + offset)
                if key >= best[q, wanted - 1] or (len(dropped) > 0 and dropped[entry]):
                    continue
                k = wanted - 1
                while k > 0 and best[q, k - 1] > key:
                    best[q, k] = best[q, k - 1]
                    k -= 1
                best[q, k] = key
