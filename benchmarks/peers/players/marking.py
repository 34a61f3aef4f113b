"""What the players that mark pictures share."""

from __future__ import annotations

import io
import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playing import Work, at_once

PAYLOADS, BYTES, SEED = 4, 8, 11
"""Payloads for each picture."""
Embed = Callable[[np.ndarray, bytes], np.ndarray]
Read = Callable[[np.ndarray], bytes]


def work(case: str, folder: Path, embed: Embed, read: Read) -> Work:
    """Mark all pictures, or read all that were marked; RGB arrays, and what was read or nothing."""
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(folder.glob("*.jpg"))]
    draw = random.Random(SEED)
    given = [(picture, draw.randbytes(BYTES)) for picture in pictures for _ in range(PAYLOADS)]
    marked = [embed(picture, payload) for picture, payload in given]
    first = [(picture, payload) for picture, payload in given[::PAYLOADS]]
    if case == "embed":
        ratios = [psnr(picture, copy) for (picture, _), copy in zip(given, marked, strict=True)]
        call = at_once(lambda: [embed(picture, payload) for picture, payload in first])
        return Work(call, len(first), fixed={"psnr_db": statistics.fmean(ratios)})
    copies, payloads = marked[::PAYLOADS], [payload for _, payload in given]
    figures = {}
    for name, edit in {"as_it_is": lambda copy: copy, "jpeg_75": jpeg, "smaller": smaller}.items():
        found = [read(edit(copy)) for copy in marked]
        bits = [right(one, payload) for one, payload in zip(found, payloads, strict=True)]
        figures |= {f"bits_{name}": statistics.fmean(bits), f"whole_{name}": bits.count(8 * BYTES) / len(bits)}
    return Work(at_once(lambda: [read(copy) for copy in copies]), len(copies), fixed=figures)


def right(found: bytes, payload: bytes) -> int:
    """Bits that are right: none where nothing was read."""
    if len(found) != len(payload):
        return 0
    return 8 * len(payload) - (int.from_bytes(found, "big") ^ int.from_bytes(payload, "big")).bit_count()


def jpeg(picture: np.ndarray) -> np.ndarray:
    """As JPEG of quality 75."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file).convert("RGB"))


def smaller(picture: np.ndarray) -> np.ndarray:
    """Three quarters of its size; then enlarged again where it would be less than 256 x 256, which the library refuses."""
    height, width = (3 * side // 4 for side in picture.shape[:2])
    reduced = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    least = 256
    if min(reduced.size) < least:
        reduced = reduced.resize((max(width, least), max(height, least)), Image.Resampling.LANCZOS)
    return np.asarray(reduced)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise ratio in dB."""
    return 10 * math.log10(255**2 / float(np.mean((one.astype(float) - other.astype(float)) ** 2)))
