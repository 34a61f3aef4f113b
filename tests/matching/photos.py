"""Five photographs for tests, and a bank of three of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from PIL import Image

from guard.matching.images import REGISTERED, fingerprints
from guard.matching.snapshot import Snapshot, snapshot_of
from guard.matching.works import Work

FOLDER = Path(__file__).parents[1] / "data" / "photos"


@cache
def photo(name: str) -> Image.Image:
    """320 x 320: `chapel`, `kitchen`, `parlour`, `pebbles`, `sea`."""
    return Image.open(FOLDER / f"{name}.jpg").convert("RGB")


def work(name: str, picture: Image.Image | None = None, methods: Iterable[str] = REGISTERED, **facts: object) -> Work:
    prints = fingerprints(picture or photo(name), tuple(methods))
    return Work(name, name.title(), fingerprints=prints, **facts)  # type: ignore[arg-type]


@cache
def bank() -> Snapshot:
    return snapshot_of("photos", [work(name) for name in ("chapel", "kitchen", "pebbles")], digest="d1")


def jpeg(picture: Image.Image, quality: int = 50) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def page(size: tuple[int, int], *placed: tuple[Image.Image, tuple[int, int]], colour: str = "white") -> Image.Image:
    made = Image.new("RGB", size, colour)
    for picture, place in placed:
        made.paste(picture, place)
    return made
