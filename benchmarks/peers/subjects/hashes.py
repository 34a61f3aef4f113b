"""Perceptual hashes of pictures, and searching many of them within a radius: the same hashes and hits from all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile

from benchmarks.peers.environments import ROOT
from benchmarks.peers.places import FAISS, IMAGEHASH, THREATEXCHANGE
from benchmarks.peers.subject import Cell, Findings, Player, Subject, same, timed

SIZES = (10_000, 1_000_000)
QUERIES, RADIUS, SEED = 100, 31, 4
CASES = ("phash", "pdq", *map(str, SIZES))
PHOTOS = ("chapel", "kitchen", "parlour", "pebbles", "sea")


def make(folder: Path) -> None:
    """Hashes and queries as of `benchmarks.hash_index`, and photographs."""
    import numpy as np

    from benchmarks.hash_index import hashes, questions

    for name in PHOTOS:
        copyfile(ROOT / "tests" / "data" / "photos" / f"{name}.jpg", folder / f"{name}.jpg")
    for size in SIZES:
        if (folder / f"queries-{size}.npy").is_file():
            continue
        codes = hashes(size, SEED)
        asked = b"".join(one[0] for one in questions(codes, QUERIES, SEED))
        np.save(folder / f"codes-{size}.npy", codes.view(np.uint8))
        np.save(folder / f"queries-{size}.npy", np.frombuffer(asked, np.uint8).reshape(-1, 32))


def compare(found: Findings) -> Sequence[str]:
    """Everybody's hashes and hits are the same."""
    same(found, list(found), CASES)
    largest = str(SIZES[-1])
    hits = next((sum(map(len, one[largest])) for one in found.values() if largest in one), 0)
    return [
        f"The hashes of {len(PHOTOS)} photographs are equal bit for bit",
        f"Hits and distances of {QUERIES} queries are equal ({hits} hits among {SIZES[-1]:,} hashes)",
    ]


SUBJECT = Subject(
    "hashes",
    CASES,
    (
        Player("genguard", "hashes_genguard", notes="PDQ in all eight orientations, pHash upright; `HammingIndex`, exact"),
        Player(
            "imagehash", "hashes_imagehash", IMAGEHASH, "`phash(hash_size=16)`; its hashes compared with all others by numpy"
        ),
        Player("threatexchange", "hashes_threatexchange", THREATEXCHANGE, "`PdqSignal`, one orientation; `PDQIndex`"),
        Player("FAISS", "hashes_faiss", FAISS, "`IndexBinaryFlat.range_search` on one thread, one query at a time"),
    ),
    (
        timed("phash", "pHash of a JPEG of 320 x 320, us CPU (wall)"),
        timed("pdq", "PDQ of it"),
        *(timed(str(size), f"search of {size:,}, us CPU (wall)") for size in SIZES),
        Cell("built in, s", "{built_s:.2f}", str(SIZES[-1])),
        Cell("resident then, MiB", "{resident_mib:.0f}", str(SIZES[-1])),
    ),
    "microseconds a picture or a query",
    make,
    compare,
    enough_us=300_000,
)
