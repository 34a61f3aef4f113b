"""genguard's core: types, checks, decide, chain, pipeline. Imports none of the other packages, and nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from guard.errors import GenguardError
from guard.types import Action, Content, Decision, Modality, Release, Request, Verdict

if TYPE_CHECKING:
    from guard.pipeline import Guard
    from guard.redaction_key import RedactionKey
    from guard.sealed import reveal

__all__ = [
    "Action",
    "Content",
    "Decision",
    "GenguardError",
    "Guard",
    "Modality",
    "RedactionKey",
    "Release",
    "Request",
    "Verdict",
    "reveal",
]

_LATER = {"Guard": "guard.pipeline", "RedactionKey": "guard.redaction_key", "reveal": "guard.sealed"}
"""Loaded when first used: a guard starts worker threads and an event loop, the others need cryptography."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
