"""From the start of a process to its first checked text, and what it holds then."""

from __future__ import annotations

from benchmarks.peers.subject import Cell, Player, Subject
from benchmarks.peers.subjects import callers, chain

CELLS = (
    ("first answer after, s", "{wall_s:.2f}"),
    ("CPU, s", "{cpu_s:.2f}"),
    ("RSS, MiB", "{rss_mib:.0f}"),
    ("PSS, MiB", "{pss_mib:.0f}"),
)
_LEFT_OUT = {"asyncio", callers.THREADS, callers.WHOLE}


def starts(name: str, case: str, of: Subject) -> Subject:
    """The players of another subject, each run a process of its own."""
    players = tuple(Player(one.name, one.script, one.place) for one in of.players if one.name not in _LEFT_OUT)
    cells = tuple(Cell(heading, form, case) for heading, form in CELLS)
    return Subject(name, (case,), players, cells, "from the start of a process", of.make, shelf=of.name, runs=3, fresh=True)


NOTHING = starts("startup", "1", chain.SUBJECT)
CLASSIFIER = starts("startup-classifier", "first", callers.SUBJECT)
