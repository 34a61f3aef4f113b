"""The same, checked before anything leaves."""

from pathlib import Path

from playing import Work, play
from streaming_nemo import prepare as prepared


def prepare(case: str, folder: Path) -> Work:
    """One setting differs."""
    return prepared(case, folder, "      stream_first: false\n")


play(prepare)
