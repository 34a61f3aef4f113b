"""How well spans that a check found agree with those of a file: exactly, or by overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.labels import Labelled
from evaluation.metrics import Confusion

OVERLAP = 0.5
"""Least intersection over union of two spans that count as one."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Spans found, expected and common. True negatives have no meaning here and are 0."""

    overlap: Confusion
    """Each counts once, with the span it shares most with; intersection over union is at least OVERLAP."""
    exact: Confusion
    """Both ends are the same."""


def agreement(found: Sequence[Sequence[Labelled]], expected: Sequence[Sequence[Labelled]], *, typed: bool = True) -> Agreement:
    """Compare spans, text by text. `typed`: only spans of one type agree."""
    return Agreement(
        *(
            _confusion(
                sum(_common(mine, theirs, least, typed=typed) for mine, theirs in zip(found, expected, strict=True)),
                sum(map(len, found)),
                sum(map(len, expected)),
            )
            for least in (OVERLAP, 1.0)
        )
    )


def by_type(found: Sequence[Sequence[Labelled]], expected: Sequence[Sequence[Labelled]]) -> dict[str, Agreement]:
    """The agreement for each type that was found or expected, in order of their names."""
    types = sorted({span.type for spans in (*found, *expected) for span in spans})
    return {name: agreement(*(_only(name, spans) for spans in (found, expected))) for name in types}


def _only(name: str, texts: Sequence[Sequence[Labelled]]) -> list[list[Labelled]]:
    return [[span for span in spans if span.type == name] for spans in texts]


def _confusion(common: int, found: int, expected: int) -> Confusion:
    return Confusion(common, found - common, expected - common)


def _common(found: Sequence[Labelled], expected: Sequence[Labelled], least: float, *, typed: bool) -> int:
    """How many pairs agree when each span is used once, the pairs that share most first."""
    pairs = sorted(
        (
            (-share, mine, theirs)
            for mine, one in enumerate(found)
            for theirs, other in enumerate(expected)
            if (not typed or one.type == other.type) and (share := _share(one, other)) >= least
        )
    )
    used: tuple[set[int], set[int]] = set(), set()
    for _, mine, theirs in pairs:
        if mine not in used[0] and theirs not in used[1]:
            used[0].add(mine)
            used[1].add(theirs)
    return len(used[0])


def _share(one: Labelled, other: Labelled) -> float:
    """Intersection over union."""
    common = min(one.end, other.end) - max(one.start, other.start)
    return common / (max(one.end, other.end) - min(one.start, other.start)) if common > 0 else 0.0
