"""Checks that follow a text while it is being made: what they can say of its beginning, and what it still depends on.

A check that says nothing of this has to see a whole text at once, and a policy with it is buffered (`guard.streaming.plan`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

from guard.text.sentences import sentence_end
from guard.types import Content, Scan, Span


@dataclass(frozen=True, slots=True)
class Progress:
    """What a check says of the beginning of a text."""

    scan: Scan
    """As of a text that ends where `scan.scanned` does; what it finds behind `settled` may still change."""
    settled: int
    """Findings that begin before this code point are those of every text that goes on from here, and none later ends there."""


class Follower(Protocol):
    """Follows one text. Plain functions that compute; calls come one after another.

    It may say two things of itself, each with an attribute that is true. `by_sentence`: it settles more at ends of sentences
    alone, and need not be asked between. `quick`: it computes for some tenths of a millisecond a sentence, in code that is safe
    for threads, and is asked on the event loop: a thread would cost as much again.
    """

    def __call__(self, text: str, *, ending: bool) -> Progress:
        """`text`: all of it so far, the beginning as in the last call. `ending`: nothing follows, the scan is of all of it."""


@runtime_checkable
class MaybeQuick(Follower, Protocol):
    """One that is quick for most texts: it is asked on the event loop first, and in a thread where that does not do."""

    def quickly(self, text: str, *, ending: bool) -> Progress | None:
        """The same, computed as by one that is `quick`; None where it would take longer, or wait for somebody."""


@runtime_checkable
class Followable(Protocol):
    """A check that may follow a text."""

    @property
    def whole(self) -> str:
        """Why it has to see all of a text at once; empty: it can follow one. Known before `load`."""

    def follow(self) -> Follower:
        """Begin with a text. Called after `load`, where `whole` is empty."""


class Distant(Protocol):
    """Follows one text elsewhere, and is awaited; questions come one after another. `by_sentence` is as of a Follower."""

    async def ask(self, content: Content, seconds: float, *, ending: bool) -> Progress:
        """As a Follower. `seconds`: its deadline. Raises whatever goes wrong."""


@runtime_checkable
class FollowedElsewhere(Protocol):
    """A check that follows a text in another process."""

    @property
    def whole(self) -> str:
        """As of `Followable`."""

    def follow_there(self) -> Distant:
        """Begin with a text; `whole` is empty."""


SILENT = "what it says of the beginning of a text may change with every word that follows"
"""Why a check that says nothing has to see all of a text."""


def why_whole(check: Any) -> str:
    """Why a check has to see all of a text at once; empty when it can follow one."""
    return str(check.whole) if isinstance(check, Followable | FollowedElsewhere) else SILENT


def is_elsewhere(check: Any) -> TypeGuard[FollowedElsewhere]:
    """Whether a check that can follow a text does so in another process: to ask a protocol takes twenty times as long."""
    return hasattr(check, "follow_there")


def is_sometimes_quick(follower: Follower) -> TypeGuard[MaybeQuick]:
    """Whether it is asked on the event loop first."""
    return hasattr(follower, "quickly")


def is_by_sentence(follower: Follower | Distant) -> bool:
    """Whether it settles more at the ends of sentences alone."""
    return bool(getattr(follower, "by_sentence", False))


def is_quick(follower: Follower) -> bool:
    """Whether it is asked on the event loop."""
    return bool(getattr(follower, "quick", False))


class BySentence:
    """Asks at the end of each sentence about all of the text up to there."""

    by_sentence = True

    def __init__(self, read: Callable[[str], Scan]) -> None:
        """`read`: what the check says of a text."""
        self._read = read
        self._last: Progress | None = None

    def __call__(self, text: str, *, ending: bool) -> Progress:
        """The text up to the end of its last whole sentence."""
        before = self._last.settled if self._last else 0
        end = len(text) if ending else sentence_end(text, before)
        if self._last is None or end > before or ending:
            scan = self._read(text[:end]) if end else Scan((), Span(0, 0))
            self._last = Progress(scan, end)
        return self._last
