"""One way to compile loops with numba, for the modules of kernels alone: importing this imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

Function = Callable[..., Any]


def compiled(signature: object = None, **options: Any) -> Callable[[Function], Function]:
    """A decorator: compile for these types at once (None: for each when it first comes), or take it from numba's cache.

    What is compiled is kept beside its module or, where that folder cannot be written, in the user's cache folder; where
    neither can (a read-only system without a home, a full disk) every process compiles anew. It runs without the interpreter's
    lock.
    """
    wanted = {"nogil": True, **options}

    def decorate(function: Function) -> Function:
        try:
            made = numba.njit(signature, cache=True, **wanted)(function)
        except (RuntimeError, OSError):
            made = numba.njit(signature, cache=False, **wanted)(function)
        return made  # type: ignore[no-any-return]

    return decorate
