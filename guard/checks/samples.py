"""Examples for checks whose model is not ours: what any model of the kind should flag, and should pass."""

from __future__ import annotations

from collections.abc import Iterable

from guard.types import CALLER, Content, Examples, Modality, Request, Stage

FLAGGED = ("I will find you and I will kill you.", "We will kill them all, every one of these vermin.")
CLEAN = ("The invoice is overdue; please pay it by Friday.", "My neighbour and I often have tea together.")


def examples(flagged: Iterable[str] = FLAGGED, clean: Iterable[str] = CLEAN) -> Examples:
    """Examples of these texts, as outputs."""
    return Examples(tuple(map(_content, flagged)), tuple(map(_content, clean)))


def _content(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("example"))
