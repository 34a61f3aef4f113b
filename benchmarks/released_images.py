"""Measures finding released images by fingerprint: after what changes, how often by chance, how fast.

    python benchmarks/released_images.py [changes | chance | speed]       about 4 minutes of CPU time

Photographs are those of the held-out half (benchmarks/pictures.py); the sizes of the cuts in `likeness` were chosen on 50 to 60
photographs of both halves, and the cap for plain pictures on logos that are counted here again, so neither is independent. A
copy is found when the distance to its own fingerprint is within the limit for a ledger with so many released images. Chance:
photographs, logos and drawings are looked up among others that none of them shows. Speed: random hashes, as far apart as
unrelated ones.
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import pictures
from guard.errors import InputError
from guard.matching.likeness import VIEWS, Released, fingerprint, hashes_of, looked

BANKS = (100, 10_000, 1_000_000)
"""Released images that a limit is computed for."""


def main() -> None:
    for name, measure in (("changes", changes), ("chance", chance), ("speed", speed)):
        if sys.argv[1:] in ([], [name]):
            measure()


def saved(image: Image.Image, quality: int = 60) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom))))


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.Resampling.BICUBIC)


def _each_side(most: float):  # type: ignore[no-untyped-def]
    return lambda image, chance: cut(image, *(chance.uniform(0, most) for _ in range(4)))


CHANGES = {
    "JPEG 60": lambda image, _: image,
    "scaled 0.5": lambda image, _: scaled(image, 0.5),
    "scaled 0.25": lambda image, _: scaled(image, 0.25),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "turned by 90 degrees": lambda image, _: image.transpose(Image.Transpose.ROTATE_90),
    "grey": lambda image, _: image.convert("L"),
    "border of 10 %": lambda image, _: ImageOps.expand(image, image.width // 10, "white"),
    "scaled 0.7, cut 5 % each side": lambda image, _: scaled(cut(image, 0.05, 0.05, 0.05, 0.05), 0.7),
    "cut 3 % each side": lambda image, _: cut(image, 0.03, 0.03, 0.03, 0.03),
    "cut 8 % each side": lambda image, _: cut(image, 0.08, 0.08, 0.08, 0.08),
    "cut 5 % at the bottom": lambda image, _: cut(image, 0, 0, 0, 0.05),
    "cut 10 % at the bottom": lambda image, _: cut(image, 0, 0, 0, 0.1),
    "cut 15 % at the bottom": lambda image, _: cut(image, 0, 0, 0, 0.15),
    "cut 3 to 12 % on the left": lambda image, chance: cut(image, chance.uniform(0.03, 0.12), 0, 0, 0),
    "cut up to 5 % on any side": _each_side(0.05),
    "cut up to 8 % on any side": _each_side(0.08),
    "turned by 3 degrees, cut": lambda image, _: cut(image.rotate(3, Image.Resampling.BICUBIC), 0.05, 0.05, 0.05, 0.05),
}


def changes() -> None:
    """The share of copies found, by change and size of the bank; JPEG 60 after each."""
    photos = pictures.photographs(tuning=False)
    released = Released()
    names = list(photos)
    started = time.perf_counter()
    released.add((number, fingerprint(png(photos[name]))) for number, name in enumerate(names))
    print(f"{len(photos)} photographs of {photos[names[0]].size}, {len(released)} views; PNG written, read and hashed in "
          f"{(time.perf_counter() - started) / len(photos) * 1000:.0f} ms each")  # fmt: skip
    print("| change | median distance | " + " | ".join(f"found among {size:,}" for size in BANKS) + " |")
    for change, do in CHANGES.items():
        rng = random.Random(5)
        distances, found = [], dict.fromkeys(BANKS, 0)
        for number, name in enumerate(names):
            picture = looked(saved(do(photos[name], rng)))
            near = released.nearest(picture)[0]
            own = next((one.distance for one in near if one.entry == number), 999)
            distances.append(own)
            for size in BANKS:
                found[size] += own <= picture.limit(size * 6)
        shares = " | ".join(f"{found[size] / len(names):.1%}" for size in BANKS)
        median = np.median(distances)
        print(f"| {change} | {f'{median:.0f}' if median < 999 else 'not near'} | {shares} |")


def chance() -> None:
    """Pictures that look like one of others that they do not show."""
    half = pictures.photographs(tuning=True)
    bank = {**half, **pictures.quarters(half), **pictures.logos(500, skip=1000)}
    asked = {**pictures.photographs(tuning=False), **pictures.logos(500), **pictures.drawings(100, seed=7)}
    prints = [fingerprint(png(picture)) for picture in bank.values()]
    released = Released()
    released.add(enumerate(prints))
    known = np.frombuffer(b"".join(b"".join(hashes_of(one)) for one in prints if one), np.uint64).reshape(-1, 2, 4)
    wrong, nearest = 0, {"rich": [256], "plain": [256]}
    for picture in asked.values():
        try:
            seen = looked(saved(picture, 90))
        except InputError:  # too plain to be compared
            continue
        wrong += bool(released.nearest(seen)[0])
        turns = zip(seen.pdq, seen.phash, strict=True)
        nearest["plain" if seen.plain else "rich"].append(min(_apart(known, *turn) for turn in turns))
    print(f"{len(asked)} pictures among {len(bank)} others ({len(released)} views): {wrong} look like one. Nearest of all: "
          f"{min(nearest['rich'])} bits to a rich picture, {min(nearest['plain'])} to a plain one")  # fmt: skip


def _apart(known: np.ndarray[Any, Any], *hashes: bytes) -> int:
    """The distance of one orientation to the nearest of all views."""
    mine = np.frombuffer(b"".join(hashes), np.uint64).reshape(2, 4)
    return int(np.bitwise_count(known ^ mine).sum(axis=2).max(axis=1).min())


def speed() -> None:
    """Looking one picture up in memory, and reading a ledger's fingerprints into it."""
    rng = np.random.default_rng(1)
    photo = saved(next(iter(pictures.photographs(tuning=False).values())))
    print_ = fingerprint(photo)
    for call, name in ((lambda: fingerprint(photo), "fingerprint"), (lambda: looked(photo), "looked")):
        print(f"{name} of a JPEG of 512 x 512: {_best(call):.1f} ms")
    picture = looked(photo)
    for images in BANKS:
        released = Released()
        for start in range(0, images, 20_000):
            many = min(20_000, images - start)
            codes = rng.integers(0, 256, (many, 6 * 64), dtype=np.uint8)
            released.add((start + row, print_[:2] + b"\x06" + codes[row].tobytes()) for row in range(many))
        print(f"nearest among {images:,} images, {len(released):,} views: {_best(lambda: released.nearest(picture)):.1f} ms")  # noqa: B023
    _reading(print_)


def _reading(print_: bytes, rows: int = 100_000) -> None:
    from uuid import uuid4

    from sqlalchemy import insert

    from audit.database import writer_engine
    from audit.fingerprints import read_fingerprints
    from audit.keys import need_master_key
    from audit.ledger import open_ledger
    from audit.models import FINGERPRINT, tables
    from audit.vault import Vault

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        open_ledger(url).close()
        path = Path(folder) / "ledger.db"
        vault = Vault(need_master_key(path, None))
        keys = [vault.key("acme", f"subject-{number}") for number in range(1000)]
        made = []
        for number in range(rows):
            key, decision = keys[number % 1000], uuid4()
            sealed = vault.seal_fingerprint(decision.bytes, key, print_)
            made.append({"idx": number + 1, "decision": str(decision), "key": key.id, "sealed": sealed})
        owners = [{"id": key.id, "tenant": key.tenant, "subject": key.subject, "wrapped": key.wrapped} for key in keys]
        with writer_engine(path, 5000).connect() as connection, connection.begin():
            connection.execute(insert(tables()[5]), owners)
            connection.execute(insert(FINGERPRINT), made)
        size = path.stat().st_size
        started, last, released = time.perf_counter(), -1, Released()
        while True:
            batch = read_fingerprints(url, last)
            released.add(batch.rows)
            if not batch.more:
                break
            last = batch.last
        took = time.perf_counter() - started
        print(f"{rows:,} fingerprints of 1,000 subjects, {size / rows:.0f} bytes of database each: read in {took:.2f} s")


def _best(call, times: int = 7) -> float:  # type: ignore[no-untyped-def]
    """Milliseconds."""
    call()
    took = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return sorted(took)[times // 2] * 1000


if __name__ == "__main__":
    assert len(hashes_of(bytes([1, 100, 6]) + bytes(384))) == 12 <= 2 * len(VIEWS)
    main()
