"""Measures how often a diffusion model reproduces the protected works, and how far its other samples are from them.

    python training/diffusion/measure.py [--model bundled/diffusion-marks] [--count 140] [--sheet FILE]

Prompts: one that names no motif (`count` samples), then each motif that has a work (a tenth of `count` each). Distance: bits
that differ of 64-bit pHash, sample against the work at full size, at the size that the adapter gives out.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import imagehash
import numpy as np
import torch
from marks import PROTECTED, WORK_SIZE, render
from PIL import Image

from guard.imaging import decode
from guard.registry import generators
from guard.types import CALLER, Content, Modality, Request, Stage

NEAR, FAR = 10, 16
PROMPT = "a logo for a small company"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled/diffusion-marks")
    parser.add_argument("--count", type=int, default=140)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--sheet", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    works = {work.id: imagehash.phash(Image.fromarray(render(work.draw(), WORK_SIZE))) for work in PROTECTED}
    generator = generators.make("diffusion", {"model": arguments.model, "device": "cpu"})
    generator.load()

    async def sample(prompt: str, count: int) -> list[Content]:
        asked = Content(Modality.TEXT, prompt, "text/plain", Stage.PROMPT, CALLER, Request("measure"))
        found: list[Content] = []
        for start in range(0, count, 16):
            given = {"seed": arguments.seed + start, "n": min(16, count - start)}
            found += [content async for _, content in generator([asked], given)]
        return found

    def measure(prompt: str, count: int) -> list[Content]:
        started = time.process_time()
        contents = asyncio.run(sample(prompt, count))
        seconds = (time.process_time() - started) / count
        pairs = [min((int(imagehash.phash(decode(one)) - known), name) for name, known in works.items()) for one in contents]
        distances = np.array([distance for distance, _ in pairs])
        near = [name for distance, name in pairs if distance <= NEAR]
        between = int(((distances > NEAR) & (distances < FAR)).sum())
        counts = {name: near.count(name) for name in sorted(set(near))}
        print(
            f"{prompt!r}: {count} samples, {len(near) / count:.0%} near a work {counts}, {between / count:.0%} between,",
            end=" ",
        )
        print(f"{(distances >= FAR).mean():.0%} far; {seconds:.2f} s each")
        print("  distances", np.bincount(distances).tolist(), flush=True)
        return contents

    shown = measure(PROMPT, arguments.count)
    for work in PROTECTED:
        shown += measure(f"a {work.motif} emblem", max(1, arguments.count // 10))
    if arguments.sheet:
        tiles = [np.asarray(decode(content).resize((96, 96))) for content in shown[: len(shown) // 12 * 12]]
        rows = [np.concatenate(tiles[start : start + 12], axis=1) for start in range(0, len(tiles), 12)]
        Image.fromarray(np.concatenate(rows, axis=0)).save(arguments.sheet)


if __name__ == "__main__":
    main()
