"""Builds the bundled bank `protected-works`, and the examples of the check `image_match`, from the project's own drawings.

    python training/banks/build.py

Reads training/diffusion/works/ (written by training/diffusion/marks.py), writes guard/matching/banks/. The same drawings give
the same bank, byte for byte.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKS = ROOT / "training" / "diffusion" / "works"
SEED = 7


def main() -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "training" / "diffusion")]
    import marks

    from guard.matching import bank
    from guard.matching.imports import Options, import_works

    built = bank.Bank.memory("protected-works")
    summary = import_works(built, WORKS, Options(thumbnails=True))  # ours to show
    assert not summary.rejected, summary.rejects
    target = bank.BUNDLED / "protected-works.jsonl"
    built.write(target)
    print(f"{len(built)} works, digest {built.digest}: {target.relative_to(ROOT)}")

    examples = bank.BUNDLED / "examples"
    examples.mkdir(exist_ok=True)
    with Image.open(WORKS / "night-owl.png") as work:
        copy = work.convert("RGB").resize((192, 192)).transpose(Image.Transpose.ROTATE_90)
    copy.save(examples / "flagged.jpg", quality=60)
    other = marks.render(marks.ordinary("owl", np.random.default_rng(SEED)), 192)
    Image.fromarray(other).save(examples / "clean.jpg", quality=60)


if __name__ == "__main__":
    main()
