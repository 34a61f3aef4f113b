"""Makes the stored hashes of the tree again from the leaves, and compares each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from audit import merkle
from audit.tiles import BITS, WIDTH

Tell = Callable[[int | None, str, object, object], None]


class TileChecker:
    """Takes leaves in order, and tells of rows of `tile` that do not follow from them."""

    def __init__(self, connection: sqlite3.Connection, problem: Tell, tally: Callable[[str, int], None]) -> None:
        """`problem`, `tally`: told what is wrong, and how many rows were right or not."""
        self._connection, self._problem, self._tally = connection, problem, tally
        self._begun: list[list[bytes]] = [[]]
        """Hashes of the unfinished tile of each level."""
        self._counts = [0]
        """Hashes of each level so far."""

    def take(self, leaf: bytes) -> None:
        """One leaf more."""
        level, node = 0, leaf
        while True:
            self._begun[level].append(node)
            self._counts[level] += 1
            if self._counts[level] % WIDTH:
                return
            node = merkle.tree_root(self._begun[level])
            self._begun[level].clear()
            level += 1
            if level == len(self._begun):
                self._begun.append([])
                self._counts.append(0)
            self._compare(level, self._counts[level], node)

    def end(self) -> None:
        """Tell of rows that no leaves are below."""
        extra = 0
        for level, idx in self._connection.execute("SELECT level, idx FROM tile ORDER BY level, idx"):
            known = self._counts[level] if isinstance(level, int) and 0 < level < len(self._counts) else 0
            if not (isinstance(idx, int) and 0 <= idx < known) and extra < WIDTH:
                extra += 1
                self._problem(None, "tile", f"hash {idx!r} of level {level!r}", "none: no leaves are below it")

    def _compare(self, level: int, idx: int, expected: bytes) -> None:
        self._tally("tiles", 1)
        try:
            row = self._connection.execute("SELECT hash FROM tile WHERE level = ? AND idx = ?", (level, idx)).fetchone()
            found = "no hash" if row is None else row[0].hex() if isinstance(row[0], bytes) else repr(row[0])
        except sqlite3.Error as error:
            found = f"a hash that cannot be read ({error})"
        if found != expected.hex():
            first = idx << (BITS * level)
            last = ((idx + 1) << (BITS * level)) - 1
            self._problem(None, "tile", f"{found} over entries {first} to {last}", expected.hex())
