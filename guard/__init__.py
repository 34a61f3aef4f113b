"""genguard's core: types, checks, decide, chain, pipeline. Imports none of the other packages, and nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.errors import GenguardError
from guard.types import Action, Content, Decision, Modality, Release, Request, Verdict

if TYPE_CHECKING:
    from guard.pipeline import Guard

__all__ = ["Action", "Content", "Decision", "GenguardError", "Guard", "Modality", "Release", "Request", "Verdict"]


def __getattr__(name: str) -> Any:
    if name == "Guard":  # loaded when first used: it starts worker threads and an event loop
        from guard.pipeline import Guard

        return Guard
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
