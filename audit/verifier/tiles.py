"""Makes the stored hashes of the tree again from the leaves, and compares each."""

from __future__ import annotations

from collections.abc import Sequence

from audit.tiles import BITS, WIDTH, roots_of_full_tiles
from audit.verifier.report import Problems, Tally
from audit.verifier.source import Source, SourceError

_READ = "SELECT idx, hash FROM tile WHERE level = ? AND idx >= ? AND idx < ?"


class TileChecker:
    """Takes leaves in order, and tells of rows of `tile` that do not follow from them."""

    def __init__(self, source: Source, problem: Problems, tally: Tally) -> None:
        """`problem`, `tally`: told what is wrong, and how many rows were looked at."""
        self._source, self._problem, self._tally = source, problem, tally
        self._begun: list[list[bytes]] = [[]]
        """Hashes of the unfinished tile of each level."""
        self._counts = [0]
        """Hashes of each level so far."""

    def take(self, leaves: Sequence[bytes], tiles: Sequence[bytes] = ()) -> None:
        """So many leaves more. `tiles`: the roots over them, tile by tile, where they are whole tiles and known."""
        if tiles and not self._begun[0]:
            self._counts[0] += len(leaves)
            self._add(1, tiles)
        else:
            self._add(0, leaves)

    def end(self) -> None:
        """Tell of rows that no leaves are below."""
        extra = 0
        for level, idx in self._source.each("SELECT level, idx FROM tile ORDER BY level, idx"):
            known = self._counts[level] if isinstance(level, int) and 0 < level < len(self._counts) else 0
            if not (isinstance(idx, int) and 0 <= idx < known) and extra < WIDTH:
                extra += 1
                self._problem(None, "tile", f"hash {idx!r} of level {level!r}", "none: no leaves are below it")

    def _add(self, level: int, hashes: Sequence[bytes]) -> None:
        """The next hashes of a level."""
        while level >= len(self._begun):
            self._begun.append([])
            self._counts.append(0)
        if level:
            self._compare(level, self._counts[level], hashes)
        self._counts[level] += len(hashes)
        begun = [*self._begun[level], *hashes]
        full = len(begun) // WIDTH * WIDTH
        self._begun[level] = begun[full:]
        if full:
            self._add(level + 1, roots_of_full_tiles(0, begun[:full]))

    def _compare(self, level: int, first: int, hashes: Sequence[bytes]) -> None:
        self._tally("tiles", len(hashes))
        stored: dict[int, object] = {}
        try:
            stored = dict(self._source.rows(_READ, (level, first, first + len(hashes))))
            unread = "no hash"
        except SourceError as error:
            unread = f"a hash that cannot be read ({error})"
        for idx, expected in enumerate(hashes, first):
            found = stored.get(idx)
            if found != expected:
                shown = unread if found is None else found.hex() if isinstance(found, bytes) else repr(found)
                last = ((idx + 1) << (BITS * level)) - 1
                self._problem(None, "tile", f"{shown} over entries {idx << (BITS * level)} to {last}", expected.hex())
