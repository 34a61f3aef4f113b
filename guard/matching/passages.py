"""Passages that a text copies from registered works: verbatim runs, and reworded ones.

A `Follower` reads a text piece by piece and hands a passage over once no later piece can change it; however the text is cut,
the passages are the same. What of one work stands together is one finding: overlapping passages give way to the longest, and
those that follow one another in the text and in the work are joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from guard.errors import InputError, RegistryError
from guard.matching import overlap
from guard.matching.letters import MOST_BETWEEN, Reader, letters
from guard.matching.overlap import Overlap, OverlapIndex, OverlapSearch
from guard.matching.postings import NOTHING
from guard.matching.runs import GUARANTEED, Run, RunIndex, RunSearch, encode
from guard.matching.snapshot import Snapshot
from guard.matching.text_kernels import GRAM
from guard.matching.works import Fingerprint
from guard.types import Span

SHORTEST_RUN = 60
"""The least `min_run`: so many characters of prose have the letters of which a shared hash is certain."""
SIMILARITY = 0.2
"""The least similarity that is reported; docs/quality/passages.md says what lower ones find, and find wrongly."""
LEAST_SIMILARITY = 0.15
RUNS, OVERLAP = "runs", "overlap"
_APART = 60
"""Passages of one work that are no farther apart than so many characters, in the text and in the work, are one."""
_BLOCK = 1 << 17
"""Code points read at a time."""


class Kind(StrEnum):
    """How a passage was copied."""

    VERBATIM = "verbatim"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text that stands in a registered work."""

    number: int
    """Of the work in its snapshot."""
    kind: Kind
    span: Span
    """In the text."""
    source: Span
    """In the work as it was registered."""
    length: int
    """Characters of the text that are copied; white space counts as one."""
    similarity: float = 1.0
    """Which share of its word sequences the work has too; 1 for a verbatim run."""
    part: str = ""
    """Which text of the work, where it has several: the path of a file."""


def fingerprints(text: str, *, keep_text: bool, part: str = "") -> tuple[Fingerprint, ...]:
    """What a text is recognised by. A work of several texts, such as the files of a code base, has the fingerprints of all.

    `keep_text`: whether the bank may hold the text (compressed): runs are then followed letter by letter. Otherwise it holds
    hashes alone, and a run's length is known to within 23 letters at either end. `part`: which of the work's texts it is.

    Raises InputError when the text is too short to be recognised.
    """
    size = len(letters(text))
    if size < GUARANTEED:
        raise InputError(
            f"found a text of {size} letters, expected at least {GUARANTEED}: a shorter one cannot be recognised",
            advice="Register the passage with what stands around it.",
        )
    return (
        Fingerprint(RUNS, encode(text, keep_text=keep_text, part=part)),
        Fingerprint(OVERLAP, overlap.encode(text, keep_text=keep_text, part=part)),
    )


class PassageMatcher:
    """Finds what a text copies from the works of a snapshot. Safe for threads; each text has a follower of its own."""

    def __init__(self, snapshot: Snapshot, min_run: int = 150, similarity: float = SIMILARITY) -> None:
        """`min_run`: characters of the shortest passage that is reported. `similarity`: the least of a reworded one; 0: none.

        Raises RegistryError for a `min_run` below what is certain to be found, or a similarity at which everything matches.
        """
        if min_run < SHORTEST_RUN:
            raise RegistryError(
                f"min_run is {min_run}, expected at least {SHORTEST_RUN} characters",
                advice=f"Runs of fewer than {GUARANTEED} letters are not certain to be found, and are often common phrases.",
            )
        if similarity and not LEAST_SIMILARITY <= similarity <= 1:
            raise RegistryError(
                f"similarity is {similarity}, expected {LEAST_SIMILARITY} to 1, or 0 for verbatim runs alone",
                advice="Unrelated texts share a few word sequences in a hundred.",
            )
        self.min_run, self.similarity = min_run, similarity
        runs, overlaps = snapshot.indexes.get(RUNS), snapshot.indexes.get(OVERLAP)
        self.runs = runs if isinstance(runs, RunIndex) else RunIndex.empty(RUNS)
        self.overlaps = overlaps if isinstance(overlaps, OverlapIndex) else OverlapIndex.empty(OVERLAP)

    def match(self, text: str) -> list[Passage]:
        """The passages of a whole text, in order of place."""
        follower = Follower(self)
        return sorted([*follower.feed(text), *follower.finish()], key=_place)


class Follower:
    """Follows one text that comes in pieces."""

    def __init__(self, matcher: PassageMatcher) -> None:
        self._matcher = matcher
        self._reader = Reader()
        self._runs = RunSearch(matcher.runs, max(GRAM, -(-matcher.min_run // (MOST_BETWEEN + 1))))
        wanted = matcher.overlaps if matcher.similarity else OverlapIndex.empty(OVERLAP)
        self._overlaps = OverlapSearch(wanted, matcher.similarity)
        self._held: list[Passage] = []
        self._before = min(self._runs.settled, self._overlaps.settled)
        """No passage that is neither returned nor held begins before this code point."""

    def feed(self, piece: str) -> list[Passage]:
        """Read on. Returns the passages that are certain by now and were not returned before."""
        for start in range(0, len(piece), _BLOCK):
            found = self._reader.read(piece[start : start + _BLOCK])
            self._held += self._long_enough(self._runs.feed(found), self._overlaps.feed(found))
        self._before = min(self._runs.settled, self._overlaps.settled)
        return self._settled(self._before)

    def finish(self) -> list[Passage]:
        """The text has ended: all that was not returned before."""
        rest = self._overlaps.feed(Reader().read(""), ending=True)
        self._held += self._long_enough(self._runs.finish(self._reader.trailing), rest)
        self._before = NOTHING
        return self._settled(NOTHING)

    @property
    def settled(self) -> int:
        """No passage that is not yet returned begins before this code point."""
        return min([self._before, *(one.span.start for one in self._held)])

    @property
    def growing(self) -> list[Passage]:
        """Passages that are long enough already and go on, or may still be joined with what follows, as they are by now."""
        return _joined([*self._held, *self._long_enough(self._runs.growing(), self._overlaps.growing())])

    def _long_enough(self, runs: Iterable[Run], overlaps: Iterable[Overlap]) -> Iterator[Passage]:
        for run in runs:
            if run.length >= self._matcher.min_run:
                yield Passage(run.number, Kind.VERBATIM, run.span, run.source, run.length, 1.0, run.part)
        for one in overlaps:
            if one.length >= self._matcher.min_run:
                yield Passage(one.number, Kind.NEAR, one.span, one.source, one.length, one.similarity, one.part)

    def _settled(self, frontier: int) -> list[Passage]:
        """Take from what is held the clusters that nothing which begins at or after `frontier` can belong to."""
        ready: list[Passage] = []
        kept: list[Passage] = []
        for cluster in _clusters(self._held):
            over = max(one.span.end for one in cluster) + _APART < frontier
            (ready if over else kept).extend(cluster)
        self._held = kept
        return _joined(ready)


def _place(one: Passage) -> tuple[int, ...]:
    return one.span.start, one.span.end, one.number, one.source.start


def _clusters(passages: Iterable[Passage]) -> Iterator[list[Passage]]:
    """Passages of one work that overlap or stand close together, each group in order of place."""
    of_work: dict[int, list[Passage]] = {}
    for one in sorted(passages, key=_place):
        of_work.setdefault(one.number, []).append(one)
    for mine in of_work.values():
        cluster, end = [mine[0]], mine[0].span.end
        for one in mine[1:]:
            if one.span.start > end + _APART:
                yield cluster
                cluster = []
            cluster.append(one)
            end = max(end, one.span.end)
        yield cluster


def _joined(passages: Iterable[Passage]) -> list[Passage]:
    """Each cluster with its lesser passages left out and its consecutive ones joined; in order of place."""
    found: list[Passage] = []
    for cluster in _clusters(passages):
        kept: list[Passage] = []
        for one in sorted(cluster, key=lambda one: (one.kind is Kind.NEAR, -one.length, _place(one))):
            if not _is_covered(one, kept):
                kept.append(one)
        kept.sort(key=_place)
        last = kept[0]
        for one in kept[1:]:
            if _follows(one, last):
                last = _union(last, one)
            else:
                found.append(last)
                last = one
        found.append(last)
    return sorted(found, key=_place)


def _is_covered(one: Passage, others: Sequence[Passage]) -> bool:
    """Whether at least half of it is what others say already."""
    shared = sum(max(0, min(one.span.end, other.span.end) - max(one.span.start, other.span.start)) for other in others)
    return 2 * shared >= one.span.end - one.span.start


def _follows(one: Passage, last: Passage) -> bool:
    """Whether the work goes on from one passage to the other as the text does."""
    return (
        one.kind is last.kind
        and one.part == last.part
        and one.span.start <= last.span.end + _APART
        and -_APART <= one.source.start - last.source.end <= _APART
        and one.source.end > last.source.end
    )


def _union(last: Passage, one: Passage) -> Passage:
    overlap = max(0, last.span.end - one.span.start)
    length = last.length + max(0, one.length - overlap)
    return replace(
        last,
        span=Span(last.span.start, max(last.span.end, one.span.end)),
        source=Span(min(last.source.start, one.source.start), one.source.end),
        length=length,
        similarity=round((last.similarity * last.length + one.similarity * (length - last.length)) / length, 3),
    )
