"""Recall of picture matching, edit by edit, at a measured rate of false matches, beside plain pHash and plain PDQ.

    python benchmarks/matching.py [--every 4] [--out FILE]

Registers the held-out photographs among more than 1,000 other works (benchmarks/pictures.py), edits the photographs
(benchmarks/edits.py) and looks the results up, with the rate of false matches that the plain hashes get as well: 1e-6 a
comparison (one picture with one work that it does not show). Ours computes its limits from that rate beforehand, and what it
meets is counted, also in 500 logos that are not registered; the plain hashes, one orientation of the whole picture, get the
largest threshold that keeps the rate in the same run. Times are CPU time of one thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pdqhash
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
PLAIN = ("pHash 64", "PDQ")
RATE = 1e-6


@dataclass
class Row:
    """What was measured of one edit."""

    group: str
    name: str
    queries: int = 0
    first: int = 0
    """Works that the first stage found."""
    inliers: list[int] = field(default_factory=list)
    """Of each work that the second stage looked for, how many details agree."""
    plain: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Distance of each query to its work, by plain hash."""

    def found(self, needed: int) -> int:
        """Works that either stage found."""
        return self.first + sum(inliers >= needed for inliers in self.inliers)


class Benchmark:
    """Works, matcher and counters."""

    def __init__(self, works: dict[str, Image.Image]) -> None:
        from guard.errors import InputError
        from guard.matching.images import ImageMatcher, Settings, fingerprints
        from guard.matching.local_index import LocalIndex
        from guard.matching.snapshot import snapshot_of
        from guard.matching.works import Work

        self.times: dict[str, list[float]] = defaultdict(list)
        registered, kept = [], []
        for name, picture in works.items():
            try:
                registered.append(Work(name, name, fingerprints=fingerprints(picture)))
            except InputError as error:
                print(f"not registered: {name}: {error}")
                continue
            kept.append(name)
        self.names = {name: row for row, name in enumerate(kept)}
        self.sizes = [sum(len(one.data) for one in work.fingerprints) for work in registered]
        self.plain = {how: np.array([_plain(how, works[name]) for name in kept]) for how in PLAIN}
        self.wrong = {how: np.zeros(257, np.int64) for how in PLAIN}
        self.matcher = ImageMatcher(snapshot_of("benchmark", registered), Settings(rate=RATE * len(registered)))
        self.kept = kept
        index = self.matcher.snapshot.indexes["local"]
        assert isinstance(index, LocalIndex)
        self.index = index
        self.wrong_inliers: list[int] = []
        """Of works that a picture does not show, how many details agree."""
        self.comparisons = self.false = self.queries = self.settled = 0
        self.rows: list[Row] = []

    def ask(self, row: Row, picture: Image.Image, owners: list[str], beside: tuple[str, ...] = ()) -> None:
        """Look one picture up that shows these works; it shows those `beside` too, which do not count."""
        from guard.matching import lookup
        from guard.matching.images import look

        start = time.process_time()
        looked = look(picture)
        by_hashes = self.matcher.by_hashes(looked)
        self.times["stage one, a picture"].append(time.process_time() - start)
        found = {one.match.work for one in by_hashes}
        self.queries += 1
        self.settled += bool(found)
        row.first += len(found & set(owners))
        if not found:
            start = time.process_time()
            shown = {self.kept[one.number - 1]: one.placement.inliers for one in lookup.shown(self.index, looked.query)}
            self.times["stage two, a picture that needs it"].append(time.process_time() - start)
            row.inliers += [shown.get(name, 0) for name in owners]
            self.wrong_inliers += [inliers for name, inliers in shown.items() if name not in {*owners, *beside}]
        row.queries += len(owners)
        false = found - {*owners, *beside}
        if false:
            print(f"false: {row.name}: {owners} taken for {sorted(false)}")
        self.false += len(false)
        self.comparisons += len(self.names) - len(owners) - len(beside)
        right = [self.names[name] for name in owners]
        for how in PLAIN:
            distances = np.bitwise_count(self.plain[how] ^ _plain(how, picture)).sum(axis=1)
            row.plain[how] += [int(distances[k]) for k in right]
            self.wrong[how] += np.bincount(
                np.delete(distances, [*right, *(self.names[name] for name in beside)]), minlength=257
            )

    @property
    def needed(self) -> int:
        """Details that the matcher asks for."""
        from guard.matching import chance

        return chance.details_needed(works=self.matcher.snapshot.size, rate=self.matcher.settings.share)

    def threshold(self, how: str) -> int:
        """Of a plain hash."""
        return int(np.flatnonzero(np.cumsum(self.wrong[how]) <= RATE * self.comparisons)[-1])

    def table(self) -> str:
        """Markdown."""
        limits = {how: self.threshold(how) for how in PLAIN}
        hashes = " | ".join(f"{how} (at most {limits[how]})" for how in PLAIN)
        lines = [
            f"| edit | works shown | two stages | stage one alone | {hashes} |",
            "|---|---|---|---|---|---|",
        ]
        groups = list(dict.fromkeys(row.group for row in self.rows))
        for group in groups:
            mine = [row for row in self.rows if row.group == group]
            lines.append(_line(f"**{group}**", mine, self.needed, limits))
            lines += [_line(row.name, [row], self.needed, limits) for row in mine]
        return "\n".join(lines)


def _line(name: str, rows: list[Row], needed: int, limits: dict[str, int]) -> str:
    queries = sum(row.queries for row in rows)
    ours = [sum(row.found(needed) for row in rows) / queries, sum(row.first for row in rows) / queries]
    plain = [sum(d <= limits[how] for row in rows for d in row.plain[how]) / queries for how in PLAIN]
    return f"| {name} | {queries} | {' | '.join(f'{share:.3f}' for share in (*ours, *plain))} |"


def _plain(how: str, picture: Image.Image) -> np.ndarray:
    bits = pdqhash.compute(np.asarray(picture))[0] if how == "PDQ" else imagehash.phash(picture).hash.ravel()
    return np.packbits(np.asarray(bits, np.uint8)).view(np.uint64)


def logos_on_photographs(bench: Benchmark, photos: dict[str, Image.Image], logos: dict[str, Image.Image]) -> None:
    """Registered logos over photographs of which only the quarters are registered, by size; every second logo in white."""
    names = list(photos)
    for side in (64, 128, 256):
        row = Row("logos on photographs", f"{side} pixels of 512")
        for k, (name, logo) in enumerate(logos.items()):
            photo = names[k % len(names)]
            page = photos[photo].copy()
            ink = logo.convert("L").crop((28, 28, 228, 228)).resize((side, side), Image.Resampling.LANCZOS)
            place = tuple(int(v) for v in np.random.default_rng(k).integers(0, 512 - side, 2))
            page.paste(("black", "white")[k % 2], place, ink.point(lambda v: 255 - v))
            bench.ask(row, page, [name], tuple(f"{photo} quarter {part}" for part in range(4)))
        bench.rows.append(row)
        print(f"{row.group}: {row.name}: {row.found(bench.needed)} of {row.queries}", flush=True)


def edited(bench: Benchmark, asked: dict[str, Image.Image]) -> None:
    """Every edit of every photograph that is looked up."""
    from benchmarks import edits, pictures

    for group, members in edits.EDITS.items():
        for name, edit in members.items():
            row = Row(group, name)
            for k, (work, picture) in enumerate(asked.items()):
                bench.ask(row, edit(picture, np.random.default_rng(k)), [work])
            bench.rows.append(row)
            print(f"{group}: {name}: {row.found(bench.needed)} of {row.queries}, {row.first} in stage one", flush=True)
    row = Row("edits of pdq_test_media", "the bridge's, as they came")
    for picture in pictures.bridges().values():
        bench.ask(row, picture, ["bridge"])
    bench.rows.append(row)


def collages(bench: Benchmark, asked: dict[str, Image.Image]) -> None:
    """Of four photographs each; every second one begins a collage."""
    from benchmarks import edits

    names = [name for name in asked if name != "bridge"]
    kinds = {
        "four works, each scaled to a quarter": edits.collage,
        "a quarter cut from each of four": edits.collage_of_quarters,
    }
    for title, made in kinds.items():
        row = Row("collages", title)
        for k in range(0, len(names), 2):
            quad = [names[(k + step) % len(names)] for step in range(4)]
            bench.ask(row, made([asked[name] for name in quad]), quad)
        bench.rows.append(row)
        print(f"{row.group}: {title}: {row.found(bench.needed)} of {row.queries}", flush=True)


def strangers(bench: Benchmark, logos: dict[str, Image.Image]) -> None:
    """Pictures that show no registered work, and plain ones at that: whatever is found in them is false."""
    row = Row("", "logos that are not registered")
    for logo in logos.values():
        bench.ask(row, logo, [])
    print(f"{len(logos)} logos that are not registered: looked up", flush=True)


def timed(bench: Benchmark, photos: list[Image.Image]) -> None:
    """What the fingerprints of a picture cost."""
    from guard.matching import images, local

    for picture in photos:
        start = time.process_time()
        looked = images.look(picture)
        for method in bench.matcher.settings.methods:
            looked.hashes(method)
        bench.times["global fingerprints, 512 x 512"].append(time.process_time() - start)
        start = time.process_time()
        local.details(picture)
        bench.times["local fingerprint, 512 x 512"].append(time.process_time() - start)


def report(bench: Benchmark) -> str:
    """Markdown."""
    wrong = np.array(bench.wrong_inliers)
    false = bench.false + int((wrong >= bench.needed).sum())
    said = [
        bench.table(),
        "",
        f"{bench.comparisons} comparisons, {false} false matches: {false / bench.comparisons:.1e} a comparison.",
        f"{bench.needed} details are needed; wrong works had at most {wrong.max()}: {np.bincount(wrong).tolist()} by number.",
        f"Stage one settled {bench.settled} of {bench.queries} pictures ({bench.settled / bench.queries:.2f}).",
        f"A work takes {statistics.median(bench.sizes)} bytes (median), {max(bench.sizes)} at most.",
        "",
        "| CPU time, ms | median | 90 % |",
        "|---|---|---|",
    ]
    for what, seconds in bench.times.items():
        said.append(f"| {what} | {np.median(seconds) * 1000:.1f} | {np.quantile(seconds, 0.9) * 1000:.1f} |")
    return "\n".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="look up only every Nth held-out photograph")
    parser.add_argument("--out", type=Path, help="write the tables there too")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    from benchmarks import pictures

    held_out = pictures.photographs(tuning=False)
    asked = {name: held_out[name] for name in [*list(held_out)[:-1][:: arguments.every], "bridge"]}
    tuning = pictures.photographs(tuning=True)
    logos = pictures.logos(500)
    others = {**pictures.quarters(tuning), **logos, **pictures.drawings(150, seed=11), **pictures.frames()}
    rest = {name: photo for name, photo in held_out.items() if name not in asked}
    start = time.process_time()
    bench = Benchmark({**asked, **rest, **others})
    print(f"{len(bench.names)} works, {len(asked)} looked up; registered in {time.process_time() - start:.0f} s", flush=True)
    timed(bench, [picture for picture in asked.values() if picture.size == (512, 512)])
    edited(bench, asked)
    strangers(bench, pictures.logos(500, skip=2000))
    collages(bench, asked)
    logos_on_photographs(bench, dict(list(tuning.items())[:12]), dict(list(logos.items())[:24]))
    print(report(bench))
    if arguments.out:
        arguments.out.write_text(report(bench) + "\n", "utf-8")


if __name__ == "__main__":
    main()
