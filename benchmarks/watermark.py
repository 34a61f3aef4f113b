"""What the image watermark survives and costs, beside invisible-watermark's methods in the same run.

    python benchmarks/watermark.py [--photos 40] [--crops 10000] [--methods tile,dwtDctSvd,dwtDct,rivaGan]
        [--workers 2] [--edits screenshot]

Marks photographs that were kept apart from tuning (every second one of photos_cid22, from the second on), edits them
(benchmarks/edits.py) and reads the payload back; a mark counts when all its bits are right. `tile`, `dwtDctSvd` and `dwtDct`
carry 64 bits, `rivaGan` 32 on the first four photographs alone, for it takes seconds. Then unmarked crops are read: a payload
from one of them is a false acceptance. Times are CPU time of one thread.
"""

from __future__ import annotations

import argparse
import io
import platform
import statistics
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from edits import EDITS
from pictures import DATA

from guard.ids import uuid7
from guard.imaging import encode_png, image_content, open_picture
from guard.marks import tile, tile_embed
from guard.marks.tile_marker import TileWatermark, read_tile
from guard.marks.tile_search import Budget
from guard.types import CALLER, Marking, Request, Stage

KEY = b"benchmark".ljust(32, b".")
SEED = 11
METHODS = ("tile", "dwtDctSvd", "dwtDct", "rivaGan")
RIVAGAN_PHOTOS, RIVAGAN_BYTES, BYTES = 4, 4, 8
SMALL_SIDES = (64, 100, 128, 200)
THOROUGH = 100
"""Unmarked crops for which the search for geometry is run as well."""


def photographs(first: int) -> Iterator[Image.Image]:
    with zipfile.ZipFile(DATA / "photos_cid22" / "cid22_training.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".png", ".jpg")))
        for name in names[first::2]:
            yield Image.open(io.BytesIO(archive.read(name))).convert("RGB")


def luma(picture: Image.Image) -> np.ndarray:
    return cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY).astype(np.float32)


def psnr(one: Image.Image, other: Image.Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)))


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Mean structural similarity of the luma: Gaussian window of 11 x 11 and 1.5 (Wang et al., 2004)."""
    a, b = luma(one).astype(float), luma(other).astype(float)
    mean = [cv2.GaussianBlur(plane, (11, 11), 1.5) for plane in (a, b, a * a, b * b, a * b)]
    spread = mean[2] - mean[0] ** 2 + mean[3] - mean[1] ** 2
    shared = mean[4] - mean[0] * mean[1]
    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean[0] * mean[1] + first) * (2 * shared + second)
    return float(np.mean(top / ((mean[0] ** 2 + mean[1] ** 2 + first) * (spread + second))))


def tile_marked(picture: Image.Image, payload: bytes) -> Image.Image:
    added = tile_embed.embed(luma(picture), payload, KEY)
    return Image.fromarray(np.clip(np.rint(np.asarray(picture) + added[..., None]), 0, 255).astype(np.uint8))


def tile_read(picture: Image.Image) -> bytes:
    found = tile.read(luma(picture), KEY)
    return found.payload if found else b""


def library(method: str) -> tuple[Callable[[Image.Image, bytes], Image.Image], Callable[[Image.Image], bytes]]:
    from imwatermark import WatermarkDecoder, WatermarkEncoder

    if method == "rivaGan":
        WatermarkEncoder.loadModel()
    size = RIVAGAN_BYTES if method == "rivaGan" else BYTES

    def marked(picture: Image.Image, payload: bytes) -> Image.Image:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bytes", payload)
        return Image.fromarray(
            np.asarray(encoder.encode(np.asarray(picture)[..., ::-1].copy(), method))[..., ::-1].astype(np.uint8)
        )

    def read(picture: Image.Image) -> bytes:
        if picture.width * picture.height < 256 * 256:  # the library refuses them
            return b""
        return bytes(WatermarkDecoder("bytes", 8 * size).decode(np.asarray(picture)[..., ::-1].copy(), method))

    return marked, read


def one(
    method: str, part: str, number: int, picture: Image.Image, payload: bytes
) -> tuple[dict[str, bool], dict[str, list[float]]]:
    """Whether the payload was read from one photograph, by edit; and figures of quality and time.

    `part`: of the names of edits; others are left out.
    """
    cv2.setNumThreads(1)
    marked, read = (tile_marked, tile_read) if method == "tile" else library(method)
    right: dict[str, bool] = {}
    figures: dict[str, list[float]] = defaultdict(list)
    start = time.process_time()
    copy = marked(picture, payload)
    figures["embed, ms"].append(1000 * (time.process_time() - start))
    figures["PSNR, dB"].append(psnr(picture, copy))
    figures["SSIM"].append(ssim(picture, copy))
    for group, edits in EDITS.items():
        for name, edit in edits.items():
            if part not in name:
                continue
            edited = edit(copy, np.random.default_rng([SEED, number]))
            start = time.process_time()
            right[f"{group}/{name}"] = read(edited) == payload
            figures[f"read {group}, ms"].append(1000 * (time.process_time() - start))
    print(f"{method}: photograph {number + 1}", file=sys.stderr, flush=True)
    return right, figures


def run(method: str, photos: int, workers: int, part: str) -> tuple[dict[str, float], dict[str, float]]:
    """Share of payloads read, by edit; and figures of quality and time. `part`: of the names of edits."""
    size = RIVAGAN_BYTES if method == "rivaGan" else BYTES
    dice = np.random.default_rng(SEED)
    given = [(number, picture, dice.bytes(size)) for number, picture in zip(range(photos), photographs(1), strict=False)]
    with ProcessPoolExecutor(workers) as pool:
        done = list(pool.map(partial(one, method, part), *zip(*given, strict=True)))
    right = {name: statistics.fmean(told[name] for told, _ in done) for name in done[0][0]}
    figures = {name: [value for _, found in done for value in found[name]] for name in done[0][1]}
    return right, {
        name: statistics.fmean(values) if name in {"PSNR, dB", "SSIM"} else statistics.median(values)
        for name, values in figures.items()
    }


def whole_way(photos: int) -> float:
    """Median CPU time from pixels to a file that was read back, in ms."""
    taken = []
    for _, picture in zip(range(photos), photographs(1), strict=False):
        start = time.process_time()
        file = encode_png(tile_marked(picture, b"payload!"), quick=True)
        found = read_tile(file, KEY, thorough=False)
        taken.append(1000 * (time.process_time() - start))
        assert found is not None
        assert open_picture(file).size == picture.size
    return statistics.median(taken)


def small(photos: int, side: int) -> tuple[int, list[float]]:
    """How many photographs, reduced to a side, the marker can mark, and the PSNR of each of these in dB."""
    marker, ratios = TileWatermark(KEY), []
    for _, picture in zip(range(photos), photographs(1), strict=False):
        reduced = picture.resize((side, side), Image.Resampling.LANCZOS)
        given = image_content(reduced, stage=Stage.OUTPUT, origin=CALLER, request=Request("benchmark"))
        marked, done = marker(given, Marking(uuid7(), datetime.now(UTC), "benchmark", 1, "0" * 64, given))
        if done.verified:
            ratios.append(psnr(reduced, open_picture(marked.file)))
    return len(ratios), ratios


def unmarked(crops: int) -> tuple[int, int, list[int]]:
    """Payloads from unmarked crops, and decodings of each: of `crops` as they are, and of THOROUGH with the whole search."""
    dice, pictures = np.random.default_rng(SEED), [luma(picture) for first in (0, 1) for picture in photographs(first)]
    plain = thorough = 0
    tries = []
    for number in range(crops):
        plane = pictures[int(dice.integers(len(pictures)))]
        side = int(dice.integers(96, min(plane.shape)))
        top, left = (int(dice.integers(0, size - side + 1)) for size in plane.shape)
        crop = plane[top : top + side, left : left + side]
        plain += tile.read(crop, KEY, thorough=False) is not None
        if number < THOROUGH:
            budget = Budget()
            thorough += tile.read(crop, KEY, budget=budget) is not None
            tries.append(budget.tries)
    return plain, thorough, tries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--crops", type=int, default=10_000)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--edits", default="", help="part of the names of edits; then nothing but them is measured")
    parser.add_argument("--workers", type=int, default=1, help="processes that mark, edit and read; default 1")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    methods = given.methods.split(",")
    results = {
        one: run(one, min(given.photos, RIVAGAN_PHOTOS) if one == "rivaGan" else given.photos, given.workers, given.edits)
        for one in methods
    }
    print(f"{platform.machine()}, {given.photos} photographs\n")
    print("| edit | " + " | ".join(methods) + " |\n|" + "---|" * (len(methods) + 1))
    for group, edits in EDITS.items():
        for name in (name for name in edits if given.edits in name):
            print(f"| {name} | " + " | ".join(f"{results[one][0][f'{group}/{name}']:.2f}" for one in methods) + " |")
    means = {one: statistics.fmean(results[one][0].values()) for one in methods}
    print("| **mean** | " + " | ".join(f"**{means[one]:.3f}**" for one in methods) + " |\n")
    print("| figure | " + " | ".join(methods) + " |\n|" + "---|" * (len(methods) + 1))
    for name in results[methods[0]][1]:
        print(f"| {name} | " + " | ".join(f"{results[one][1][name]:.4g}" for one in methods) + " |")
    if "tile" in methods and not given.edits:
        print(f"\nembed, encode, decode, read back, 512 x 512: {whole_way(given.photos):.0f} ms (median)")
        for side in SMALL_SIDES:
            count, ratios = small(given.photos, side)
            print(f"reduced to {side} pixels: {count} of {given.photos} marked, at {statistics.fmean(ratios or [0]):.1f} dB")
        if given.crops:
            plain, thorough, tries = unmarked(given.crops)
            print(f"unmarked crops with a payload: {plain} of {given.crops}, {thorough} of {len(tries)} after a search")
            print(f"decodings in a search: {statistics.fmean(tries):.1f} on average, {max(tries)} at most")


if __name__ == "__main__":
    main()
