"""genguard's tile watermark, the payload alone."""

from pathlib import Path

import cv2
import numpy as np
from marking import work
from playing import Work, play

from guard.marks import tile, tile_embed

KEY = b"benchmark".ljust(32, b".")


def luma(picture: np.ndarray) -> np.ndarray:
    """Brightness."""
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


def embed(picture: np.ndarray, payload: bytes) -> np.ndarray:
    """Add the mark to all colours alike."""
    added = tile_embed.embed(luma(picture), payload, KEY)
    return np.clip(np.rint(picture + added[..., None]), 0, 255).astype(np.uint8)


def read(picture: np.ndarray) -> bytes:
    """The payload, or nothing."""
    found = tile.read(luma(picture), KEY)
    return found.payload if found else b""


def prepare(case: str, folder: Path) -> Work:
    """Mark, or read."""
    cv2.setNumThreads(1)
    return work(case, folder, embed, read)


play(prepare)
