"""Where buckets of tokens (`serving.rate`) lie: in memory, or in a file that all workers of a service have in their memory.

The file is a table of fixed size: sets of WAYS slots, each with the digest of who it is, how much is left and since when. A set
that is full forgets who has not asked for longest. One lock (flock) covers a look and what is written after it; the kernel lets
go of it for a process that dies. The clock has to be one of the machine, as `time.monotonic` is.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Protocol

ADDRESSES = 10_000
"""Callers that are remembered in memory; the one that has not asked for longest is forgotten first."""
SETS, WAYS = 2048, 8
_SLOT = Struct("<16sdd")
_EMPTY = bytes(16)


class Store(Protocol):
    """What each caller has left, and since when."""

    def locked(self) -> AbstractContextManager[None]:
        """A context in which nobody else changes anything."""

    def get(self, who: str) -> tuple[float, float] | None:
        """What is left, and since when; None for somebody who is not remembered."""

    def put(self, who: str, left: float, since: float) -> None:
        """Remember it."""


class Memory:
    """Of one process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._free = nullcontext()

    def locked(self) -> nullcontext[None]:
        """See `Store`: one event loop uses it."""
        return self._free

    def get(self, who: str) -> tuple[float, float] | None:
        """See `Store`."""
        return self._kept.get(who)

    def put(self, who: str, left: float, since: float) -> None:
        """See `Store`."""
        self._kept[who] = left, since
        self._kept.move_to_end(who)
        if len(self._kept) > ADDRESSES:
            self._kept.popitem(last=False)


class Table:
    """Of all processes that open the same file."""

    def __init__(self, path: Path) -> None:
        """Make the file, or take the one that is there. Raises OSError."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = SETS * WAYS * _SLOT.size
        os.ftruncate(self._file, size)  # to what it is already, for all but the first
        self._memory = mmap.mmap(self._file, size)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See `Store`."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def get(self, who: str) -> tuple[float, float] | None:
        """See `Store`. What a process that died left half-written is nobody's."""
        name, first = _place(who)
        for slot in range(first, first + WAYS):
            found, left, since = _SLOT.unpack_from(self._memory, slot * _SLOT.size)
            if found == name:
                return (left, since) if math.isfinite(left) and math.isfinite(since) else None
        return None

    def put(self, who: str, left: float, since: float) -> None:
        """See `Store`."""
        name, first = _place(who)
        oldest, place = math.inf, first
        for slot in range(first, first + WAYS):
            found, _, asked = _SLOT.unpack_from(self._memory, slot * _SLOT.size)
            if found in {name, _EMPTY}:
                place = slot
                break
            if not asked >= oldest:  # also where it is no number
                oldest, place = asked, slot
        _SLOT.pack_into(self._memory, place * _SLOT.size, name, left, since)


def _place(who: str) -> tuple[bytes, int]:
    """The digest of somebody, and the first slot of their set."""
    digest = blake2b(who.encode("utf-8", "surrogatepass"), digest_size=20).digest()
    return digest[:16], int.from_bytes(digest[16:], "little") % SETS * WAYS
