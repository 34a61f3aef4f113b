"""The check `toxicity` itself, on a thread for each caller."""

from pathlib import Path
from typing import Any

from callers_genguard import chain, content, scores
from calling import Callers
from playing import Work, play


def prepare(case: str, folder: Path) -> Work:
    """Ask the check."""
    check: Any = chain().checks["toxicity"]
    return Callers(case, folder).on_threads(
        lambda text: check([content(text)]), lambda text: scores(check([content(text)])[0].findings)
    )


play(prepare)
