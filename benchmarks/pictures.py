"""The pictures that the matching benchmarks register and look up.

Photographs are those of `photos_cid22`, by file name; every second one is for choosing parameters (`tuning`), the others are
for the published figures (`held out`). Other works, all unlike any photograph that is looked up: the quarters of the other
half's photographs (256 x 256), logos of `logos_simple_icons` in black on white at 256 x 256, this project's own drawings, and
frames of `pdq_test_media`'s films.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("GENGUARD_DATA", ROOT.parent / "shared" / "data"))


@cache
def _members(path: str, ending: tuple[str, ...]) -> dict[str, bytes]:
    with zipfile.ZipFile(DATA / path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.lower().endswith(ending)}


def _rgb(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def photographs(*, tuning: bool) -> dict[str, Image.Image]:
    """One half of the photographs by name; the held-out half has the bridge of `pdq_test_media` too."""
    files = _members("photos_cid22/cid22_training.zip", (".png", ".jpg"))
    names = sorted(files, key=lambda name: name.rsplit("/", 1)[-1])[0 if tuning else 1 :: 2]
    found = {name.rsplit("/", 1)[-1]: _rgb(files[name]) for name in names}
    if not tuning:
        found["bridge"] = bridge("bridge-mods/aaa-orig.jpg")
    return found


def bridge(name: str) -> Image.Image:
    """A picture of `pdq_test_media` by its name in the archive, 1024 pixels at most."""
    files = _members("pdq_test_media/pdq_images.zip", (".jpg", ".png"))
    picture = _rgb(next(data for key, data in files.items() if key.endswith(name)))
    picture.thumbnail((1024, 1024))
    return picture


def bridges() -> dict[str, Image.Image]:
    """The bridge's edits that came with the set."""
    files = _members("pdq_test_media/pdq_images.zip", (".jpg", ".png"))
    names = sorted(name for name in files if "bridge-" in name and not name.endswith("aaa-orig.jpg"))
    return {name.rsplit("/", 1)[-1]: bridge(name) for name in names}


def quarters(photos: dict[str, Image.Image]) -> dict[str, Image.Image]:
    """The four quarters of each photograph."""
    found = {}
    for name, photo in photos.items():
        width, height = photo.width // 2, photo.height // 2
        for k in range(4):
            left, top = k % 2 * width, k // 2 * height
            found[f"{name} quarter {k}"] = photo.crop((left, top, left + width, top + height))
    return found


def logos(count: int, *, skip: int = 0) -> dict[str, Image.Image]:
    """Logos in black on white, 256 x 256 with a margin, in an order that has nothing to do with their names."""
    files = _members("logos_simple_icons/png128.zip", (".png",))
    names = sorted(files)
    chosen = np.random.default_rng(3).permutation(len(names))[skip : skip + count]
    found = {}
    for k in chosen:
        ink = Image.open(io.BytesIO(files[names[k]])).convert("L").resize((200, 200), Image.Resampling.LANCZOS)
        page = Image.new("L", (256, 256), 255)
        page.paste(ink, (28, 28))
        found[f"logo {names[k].removesuffix('.png')}"] = page.convert("RGB")
    return found


def drawings(count: int, *, seed: int) -> dict[str, Image.Image]:
    """Drawings by this project's own script, 192 x 192."""
    sys.path[:0] = [str(ROOT / "training" / "diffusion")]
    import marks

    dice = np.random.default_rng(seed)
    kinds = sorted(marks.MOTIFS)
    return {
        f"drawing {k}": Image.fromarray(marks.render(marks.ordinary(kinds[k % len(kinds)], dice), 192)) for k in range(count)
    }


def frames() -> dict[str, Image.Image]:
    """The middle frame of each film of another scene."""
    found = {}
    for name, data in sorted(_members("pdq_test_media/tmk_videos.zip", (".mp4",)).items()):
        if "logo-bar" in name:
            continue  # the same scene as the grey bar's
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(data)
            file.flush()
            film = cv2.VideoCapture(file.name)
            film.set(cv2.CAP_PROP_POS_FRAMES, film.get(cv2.CAP_PROP_FRAME_COUNT) // 2)
            read, frame = film.read()
        if read:
            found[f"film {name}"] = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return found
