"""The second stage: works that a picture shows by their local features, each verified by geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guard.matching.geometry import MIN_PAIRS, Placement, place
from guard.matching.local import Details, Query
from guard.matching.local_index import RADIUS, LocalIndex, Near

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CANDIDATES = 48
"""Works with most votes that are verified, of each of the picture and its mirror image."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A work and how the picture shows it."""

    number: int
    work: Details
    placement: Placement


def shown(index: LocalIndex, query: Query) -> list[Shown]:
    """Every work that at least `MIN_PAIRS` details agree on, most first: whether that is enough is for the caller to say."""
    best: dict[int, Shown] = {}
    for picture, mirrored in ((query.upright, False), (query.mirrored, True)):
        near = index.search(picture.codes)
        for slot, rows in _candidates(near):
            work = index.details(slot)
            placement = place(work, picture, (near.point[rows], near.query[rows]), mirrored=mirrored)
            number = index.number(slot)
            if placement and (number not in best or placement.inliers > best[number].placement.inliers):
                best[number] = Shown(number, work, placement)
    return sorted(best.values(), key=lambda one: (-one.placement.inliers, one.number))


def _candidates(near: Near) -> list[tuple[int, Array]]:
    """The fingerprints with most votes, and which pairs are theirs, nearest first. A near pair votes more than a far one."""
    import numpy as np

    if not len(near.slot):
        return []
    order = np.lexsort((near.distance, near.slot))
    slots, starts, counts = np.unique(near.slot[order], return_index=True, return_counts=True)
    votes = np.add.reduceat((RADIUS + 1 - near.distance[order]).astype(np.int64) ** 2, starts)
    votes[counts < MIN_PAIRS] = 0
    chosen = np.lexsort((slots, -votes))[:CANDIDATES]
    return [(int(slots[k]), order[starts[k] : starts[k] + counts[k]]) for k in chosen if votes[k]]
