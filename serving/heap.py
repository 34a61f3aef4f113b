"""Garbage of the process of a service: what it loaded to begin with is no part of the search.

Models, libraries and policies are hundreds of thousands of objects that stay. A full search for cycles walks through all of
them and stops every thread meanwhile, for half a second here, each time that a quarter as many have been made since.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def freeze() -> None:
    """Search once, and from here on only among what is made from here on (`gc.freeze`)."""
    gc.collect()
    gc.freeze()


@contextmanager
def frozen() -> Iterator[None]:
    """The same, until this is left."""
    freeze()
    try:
        yield
    finally:
        gc.unfreeze()
