"""Makes the times between which entries are again from the entries, and compares each with its row of `moment`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from audit.projected import SPAN
from audit.verifier.report import Problems, Tally
from audit.verifier.source import Row, Source, SourceError

_READ = "SELECT earliest, latest FROM moment WHERE idx = ?"
_EXTRA = "SELECT idx FROM moment WHERE idx < 0 OR idx >= ? ORDER BY idx LIMIT 100"

Ends = tuple[str, str]


def ends_of(rows: Collection[Row], place: int) -> Ends | None:
    """The earliest and the latest time of rows that have it at `place`; None where one is no time: that is told already."""
    try:
        times: list[Any] = [row[place] for row in rows]
        first, last = min(times), max(times)
    except (TypeError, ValueError):
        return None
    return (first, last) if isinstance(first, str) and first.isascii() and last.isascii() else None


def joined(parts: Sequence[Ends | None]) -> Ends | None:
    """Those of several parts; None where one of them has none."""
    known = [one for one in parts if one is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if len(known) == len(parts) else None


class MomentChecker:
    """Takes the times of chunks of entries in order, and tells of rows of `moment` that do not follow from them."""

    def __init__(self, source: Source, problem: Problems, tally: Tally) -> None:
        """`problem`, `tally`: told what is wrong, and how many rows were looked at."""
        self._source, self._problem, self._tally = source, problem, tally
        self._span = 0
        self._begun: list[Ends | None] = []

    def take(self, chunks: Sequence[Ends | None], chunk: int) -> None:
        """Those of the next chunks of `chunk` entries each; None for one that cannot be told, whose span is not compared."""
        for ends in chunks:
            self._begun.append(ends)
            if len(self._begun) * chunk == SPAN:
                self._compare(joined(self._begun))
                self._begun.clear()

    def end(self) -> None:
        """Tell of rows of spans that are not there."""
        for (idx,) in self._source.rows(_EXTRA, (self._span,)):
            self._problem(
                None, "moment", f"times of span {idx!r}", f"none: there are {self._span} full spans of {SPAN} entries"
            )

    def _compare(self, expected: Ends | None) -> None:
        span, self._span = self._span, self._span + 1
        if expected is None:
            return
        self._tally("moments")
        try:
            rows = self._source.rows(_READ, (span,))
        except SourceError as error:
            self._told(span, f"times that cannot be read ({error})", expected)
            return
        if rows != [expected]:
            self._told(span, " to ".join(map(repr, rows[0])) if rows else "no times", expected)

    def _told(self, span: int, found: str, expected: Ends) -> None:
        over = f"entries {span * SPAN} to {(span + 1) * SPAN - 1}"
        self._problem(None, "moment", f"{found} for {over}", " to ".join(map(repr, expected)))
