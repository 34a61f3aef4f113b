"""The same through genguard's chain with the encoder alone, in single precision."""

from pathlib import Path

from callers_genguard import WHOLE
from callers_genguard import prepare as prepared
from playing import Work, play


def prepare(case: str, folder: Path) -> Work:
    """Ask the chain."""
    return prepared(case, folder, **WHOLE)


play(prepare)
