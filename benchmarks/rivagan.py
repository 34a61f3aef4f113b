"""How often `rivaGan` cannot mark a picture, and what a second pass of it costs.

    python -m benchmarks.rivagan PHOTO [--size 256x256] [--payloads 150] [--seed 7]

Marks one picture with random payloads, as the marker does: until the file reads back. A pass takes about a second a 65,000
pixels. The peak signal-to-noise ratio is that of the released file to the picture, in dB.
"""

from __future__ import annotations

import argparse
import io
import random
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from unittest.mock import patch
from uuid import UUID

import numpy as np
from PIL import Image

from guard.imaging import image_content
from guard.marks import watermark
from guard.types import CALLER, Marking, Request, Stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--payloads", type=int, default=150)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    picture = Image.open(given.photo).convert("RGB").resize((width, height))
    content = image_content(picture, stage=Stage.OUTPUT, origin=CALLER, request=Request("r"))
    now = datetime.now(UTC)
    marker, draw = watermark.Watermark("rivaGan"), random.Random(given.seed)
    ratios: dict[int, list[float]] = defaultdict(list)
    """By passes; 0: unmarked."""
    for _ in range(given.payloads):
        told = Marking(UUID(int=draw.getrandbits(128)), now, "house", 1, "", content)
        with patch.object(watermark, "_embed", wraps=watermark._embed) as passes:  # noqa: SLF001 - to count them
            marked, mark = marker(content, told)
        ratios[passes.call_count if mark.verified else 0].append(_psnr(picture, Image.open(io.BytesIO(marked.file))))
    print(f"{given.photo.name} {given.size}, {given.payloads} payloads: {len(ratios[0])} unmarked")
    for count, found in sorted(ratios.items()):
        if count:
            print(f"  {count} passes: {len(found)}, PSNR {mean(found):.1f} dB, least {min(found):.1f}")


def _psnr(one: Image.Image, other: Image.Image) -> float:
    error = np.mean((np.asarray(one, dtype=float) - np.asarray(other.convert("RGB"), dtype=float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


if __name__ == "__main__":
    main()
