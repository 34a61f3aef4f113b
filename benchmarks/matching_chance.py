"""Measures how close unrelated pictures come by chance, and writes what `guard.matching.chance` reads.

    python benchmarks/matching_chance.py            about 2 minutes

Pictures are those of the tuning half (benchmarks/pictures.py): photographs, their quarters, and logos. A pair counts by the kind of the
picture that is looked up (plain or rich in detail), with the nearest of its eight orientations and both its views. Pairs of
a photograph and its own quarters are left out. A point is kept where at least `FEWEST` pairs came that close.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
FEWEST = 8
METHODS = ("pdq", "phash", "dhash", "whash")
OUT = ROOT / "guard" / "matching" / "chance.json"


def main() -> None:
    from benchmarks import pictures
    from guard.matching import chance
    from guard.matching.images import look

    photos = pictures.photographs(tuning=True)
    works = {**photos, **pictures.quarters(photos), **pictures.logos(500, skip=1000)}
    seen = {name: look(picture) for name, picture in works.items()}
    owner = np.array([name.split(" quarter")[0] for name in works])
    unrelated = owner[:, None] != owner
    plain = np.array([picture.plain for picture in seen.values()])
    print(f"{len(works)} pictures, {plain.sum()} plain (a share of {chance.PLAIN} or more of one brightness)")
    measured: dict[str, dict[str, object]] = {}
    for method in METHODS:
        distances = _distances([picture.hashes(method) for picture in seen.values()])
        measured[method] = {}
        for kind, rows in (("rich", ~plain), ("plain", plain)):
            curve = _curve(distances[rows][unrelated[rows]])
            measured[method][kind] = curve
            print(method, kind, curve["pairs"], "pairs, nearest", curve["nearest"], curve["points"][-1])
    measured["local"] = {"rich": _details({name: picture for name, picture in works.items() if name in photos}, works)}
    OUT.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")


def _distances(hashes):  # type: ignore[no-untyped-def]
    """Of each picture (row), in its nearest orientation, to each as it is registered (column)."""
    views = np.array([[np.frombuffer(hash_.orientations[0], np.uint64) for hash_ in (hs[0], hs[-1])] for hs in hashes])
    table = np.full((len(hashes), len(hashes)), 256, np.uint16)
    for row, mine in enumerate(hashes):
        for turn in (turn for hash_ in mine for turn in hash_.orientations):
            apart = np.bitwise_count(views ^ np.frombuffer(turn, np.uint64)).sum(axis=2).min(axis=1)
            np.minimum(table[row], apart, out=table[row])
    return table


def _curve(distances):  # type: ignore[no-untyped-def]
    ordered, points = np.sort(distances), []
    for exponent in np.arange(-2, -9, -0.5):
        rank = int(len(ordered) * 10.0**exponent)
        if rank < FEWEST:
            break
        points.append([int(ordered[rank - 1]), round(float(math.log10((ordered <= ordered[rank - 1]).mean())), 3)])
    if points[-1][0] != ordered[FEWEST - 1]:
        points.append([int(ordered[FEWEST - 1]), round(float(math.log10((ordered <= ordered[FEWEST - 1]).mean())), 3)])
    return {"pairs": len(ordered), "nearest": int(ordered[0]), "points": _falling(points)}


def _falling(points):  # type: ignore[no-untyped-def]
    """Without points that say the same of two distances, or of one distance twice."""
    kept = points[:1]
    for x, y in points[1:]:
        if x < kept[-1][0] and y < kept[-1][1]:
            kept.append([x, y])
    return kept


def _details(queries, works):  # type: ignore[no-untyped-def]
    """How many details of a wrong work agree with a picture, over photographs, hard screenshots and collages of the tuning half."""
    from benchmarks.edits import EDITS, collage
    from guard.matching import local, lookup
    from guard.matching.local_index import LocalIndex

    names = list(works)
    index = LocalIndex.empty("local").extended((k, local.details(works[name]).to_bytes()) for k, name in enumerate(names))
    index = index.compacted()
    plain, hard = EDITS["re-encoding, scale"]["none"], EDITS["perspective, screenshots"]["hard screenshot"]
    shown = [([name], edit(queries[name], np.random.default_rng(k))) for k, name in enumerate(queries) for edit in (plain, hard)]
    quads = [list(queries)[k : k + 4] for k in range(0, len(queries) - 3, 4)]
    shown += [(quad, collage([queries[name] for name in quad])) for quad in quads]
    counts: list[int] = []
    for owners, picture in shown:
        for one in lookup.shown(index, local.query(picture)):
            if names[one.number].split(" quarter")[0] not in owners:
                counts.append(one.placement.inliers)
    pairs = len(shown) * len(works)
    found = np.array(counts)
    points = [[k, round(math.log10((found >= k).sum() / pairs), 3)] for k in range(4, 40) if (found >= k).sum() >= 3]
    print("local", pairs, "pairs, most details", max(counts), points)
    return {"pairs": pairs, "nearest": max(counts), "points": points}


if __name__ == "__main__":
    main()
