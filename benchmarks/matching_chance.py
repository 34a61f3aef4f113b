"""Measures how close unrelated pictures come by chance, and writes what `guard.matching.chance` reads.

    python benchmarks/matching_chance.py [hashes | details]          about 1 minute of CPU time each

Pictures are those of the tuning half (benchmarks/pictures.py): photographs, their quarters, and logos. A pair counts by the
kind of the picture that is looked up (plain or rich in detail), with the nearest of its eight orientations and both its
views. Pairs of a photograph and its own quarters are left out. For details, the photographs are looked up as they are, in hard
screenshots and in collages, among those works and the held-out photographs. A point is kept where at least `FEWEST` pairs
came that close.
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
FEWEST_DETAILS = 4
"""The same for details, which agree by chance so rarely that more would take hours."""
METHODS = ("pdq", "phash", "dhash")
STARS = {"2666598.png", "262780.png", "2232979.jpg"}
"""Photographs of one stretch of the Milky Way: they do show the same thing, and up to 20 details say so."""
OUT = ROOT / "guard" / "matching" / "chance.json"


def main() -> None:
    measured = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {}
    for part, measure in (("hashes", hashes), ("details", details)):
        if sys.argv[1:] in ([], [part]):
            measured.update(measure())
    OUT.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")


def hashes():  # type: ignore[no-untyped-def]
    """Curves of the hashes, by method and kind."""
    from benchmarks import pictures
    from guard.matching.chance import BOTH, PAIR
    from guard.matching.images import look

    photos = pictures.photographs(tuning=True)
    works = {**photos, **pictures.quarters(photos), **pictures.logos(500, skip=1000)}
    seen = {name: look(picture) for name, picture in works.items()}
    owner = np.array([name.split(" quarter")[0] for name in works])
    plain = np.array([picture.plain for picture in seen.values()])
    tables = {method: _distances([picture.hashes(method) for picture in seen.values()]) for method in METHODS}
    tables[BOTH] = np.maximum(*(tables[method] for method in PAIR))
    return curves(tables, plain, owner[:, None] != owner)


def curves(tables, plain, unrelated):  # type: ignore[no-untyped-def]
    """Of tables of distances (looked up, registered), by method."""
    found = {}
    for method, table in tables.items():
        found[method] = {kind: _curve(table[rows][unrelated[rows]]) for kind, rows in (("rich", ~plain), ("plain", plain))}
        print(method, {kind: (one["pairs"], one["nearest"], one["points"][-1]) for kind, one in found[method].items()})
    return found


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


def _falling(points, *, rising=False):  # type: ignore[no-untyped-def]
    """Without points that say the same of two distances, or of one distance twice."""
    kept = points[:1]
    for x, y in points[1:]:
        if (x > kept[-1][0] if rising else x < kept[-1][0]) and y < kept[-1][1]:
            kept.append([x, y])
    return kept


def details():  # type: ignore[no-untyped-def]
    """The curve of details: how many of a wrong work agree with a picture."""
    from benchmarks import pictures
    from benchmarks.edits import EDITS, collage
    from guard.matching import local, lookup
    from guard.matching.local_index import LocalIndex

    photos = pictures.photographs(tuning=True)
    works = {**photos, **pictures.quarters(photos), **pictures.photographs(tuning=False), **pictures.logos(100, skip=1000)}
    names = list(works)
    index = LocalIndex.empty("local").extended((k, local.details(works[name]).to_bytes()) for k, name in enumerate(names))
    index = index.compacted()
    edits = (EDITS["re-encoding, scale"]["none"], EDITS["perspective, screenshots"]["hard screenshot"])
    shown = [([name], edits[k % 2](photos[name], np.random.default_rng(k))) for k, name in enumerate(photos)]
    quads = [list(photos)[k : k + 4] for k in range(0, len(photos) - 3, 4)]
    shown += [(quad, collage([photos[name] for name in quad])) for quad in quads]
    counts = []
    for owners, picture in shown:
        looked = lookup.shown(index, local.query(picture))
        related = {*owners, *(STARS if STARS & {*owners} else ())}
        counts += [one.placement.inliers for one in looked if names[one.number].split(" quarter")[0] not in related]
    found, pairs = np.array(counts), len(shown) * len(works)
    shares = [(k, int((found >= k).sum())) for k in range(4, 40)]
    points = [[k, round(math.log10(count / pairs), 3)] for k, count in shares if count >= FEWEST_DETAILS]
    print("local", pairs, "pairs, most details of a wrong work", max(counts), points, np.bincount(found))
    return {"local": {"rich": {"pairs": pairs, "nearest": max(counts), "points": _falling(points, rising=True)}}}


if __name__ == "__main__":
    main()
