"""Up to where a text may leave: before everything that is not settled, and never inside something that was found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import regex as re

from guard.protocols import Check
from guard.text.sentences import cut_before
from guard.traits import Places, traits_of
from guard.types import CheckResult, Span

_OPEN_TOKEN = re.compile(r"\[[^\[\]\s]{0,4000}\Z")
"""The beginning of what may become a sealed value (`guard.sealed`)."""


class Frontier:
    """One text's, which only moves forward."""

    def __init__(self, checks: Mapping[str, Check], time: datetime, *, keyed: bool) -> None:
        """`time`: when the text is judged. `keyed`: whether sealed values are left as they are."""
        self._placed = frozenset(name for name, check in checks.items() if traits_of(check).places is Places.EACH)
        self._keyed = keyed
        self._reached = 0
        self.time = time

    def __call__(self, text: str, settled: int, found: Mapping[str, CheckResult]) -> int:
        """The place, for a text that goes on, of which findings that begin before `settled` are final."""
        place = min(settled, len(text))
        if self._keyed and (token := _OPEN_TOKEN.search(text, max(0, len(text) - 4001))):
            place = min(place, token.start())
        spans = [
            one.where
            for name, result in found.items()
            if name in self._placed
            for one in result.findings
            if isinstance(one.where, Span)
        ]
        spans.sort(key=lambda one: one.start, reverse=True)
        while True:
            before = place
            place = cut_before(text, place)
            while place and text[place - 1] in "\r\n":  # a label may yet take the place of line breaks at the end
                place -= 1
            for span in spans:
                if span.start < place < span.end:
                    place = span.start
            if place == before:
                break
        return max(place, self._reached)

    def reach(self, place: int) -> None:
        """So much has left."""
        self._reached = place
