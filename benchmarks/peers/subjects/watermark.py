"""Invisible watermarks of 64 bits in photographs: what marking and reading take, and how much is read back."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from benchmarks.peers.environments import ROOT
from benchmarks.peers.places import WATERMARK
from benchmarks.peers.subject import Cell, Player, Subject, timed
from benchmarks.peers.subjects.hashes import PHOTOS

EDITS = {"as_it_is": "as it is", "jpeg_75": "JPEG 75", "smaller": "3/4 of the size"}
NOTE = "`WatermarkEncoder` and `WatermarkDecoder`, method `{}`: bits without a checksum, so that something is always read"


def make(folder: Path) -> None:
    """The photographs."""
    for name in PHOTOS:
        copyfile(ROOT / "tests" / "data" / "photos" / f"{name}.jpg", folder / f"{name}.jpg")


SUBJECT = Subject(
    "watermark",
    ("embed", "read"),
    (
        Player(
            "genguard",
            "watermark_genguard",
            notes="`guard.marks.tile`, keyed; its code mends errors and refuses noise: all 64 bits are right, or none is read",
        ),
        Player("invisible-watermark, dwtDct", "watermark_dwt", WATERMARK, NOTE.format("dwtDct")),
        Player("invisible-watermark, dwtDctSvd", "watermark_svd", WATERMARK, NOTE.format("dwtDctSvd")),
    ),
    (
        timed("embed", "mark, ms CPU (wall)", "ms", 1),
        timed("read", "read, ms CPU (wall)", "ms", 1),
        Cell("PSNR, dB", "{psnr_db:.1f}", "embed"),
        Cell(f"bits of 64: {' / '.join(EDITS.values())}", " / ".join(f"{{bits_{edit}:.0f}}" for edit in EDITS), "read"),
        Cell("whole payloads", " / ".join(f"{{whole_{edit}:.0%}}" for edit in EDITS), "read"),
    ),
    "pictures of 320 x 320, milliseconds each",
    make,
    enough_us=500_000,
)
