"""invisible-watermark's method `dwtDctSvd`."""

from pathlib import Path

from playing import Work, play
from watermark_dwt import prepare as prepared


def prepare(case: str, folder: Path) -> Work:
    """Mark, or read."""
    return prepared(case, folder, "dwtDctSvd")


play(prepare)
