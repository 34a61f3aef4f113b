"""Follows a text for the `pii` check: what of its beginning is settled, and how little has to be read again.

The findings are those of a whole text. The check reads windows of 4,000 characters; of those that are done with nothing is read
again, of the last one what stands up to some 300 characters before what is settled: further back nothing reaches, neither the
words that raise a score (five), nor the tagger's convolutions (16 words), nor a row of digits, which may not fill that space.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from guard.checks.name_tagger import NameTagger
from guard.checks.pii_names import blanked, has_han, has_words, latin_names, plausible_names
from guard.following import Progress
from guard.text.unfinished import Unfinished
from guard.types import Finding, Scan, Span

BACK = 240
"""Code points before what is settled that are read again, at least."""
REACH = 16
"""Tokens behind a name on which it may depend: convolutions reach 11, features of Chinese characters 2, a form of address 3."""
_NEAR = 64
"""Code points behind an address within which another part of it may stand."""
_ADDRESSES = frozenset({"STREET_ADDRESS", "LOCATION"})
_PARAGRAPH, _SENTENCE = re.compile(r"\n+"), re.compile(r"\n+|[.!?]\s+")
_QUIET = re.compile(r"[^0-9@:]{64}")


class Reading(Protocol):
    """What a `pii` check does for its follower."""

    def plain(self, text: str) -> str:
        """The text as it is compared, one character for one."""

    def cuts(self, text: str) -> Sequence[tuple[int, int]]:
        """The windows in which a whole text is read."""

    def findings(self, text: str, ranges: Sequence[tuple[int, int]], since: int) -> Sequence[Finding]:
        """What these ranges of a plain text hold that begins at `since` or later."""


class Following:
    """A `guard.following.Follower`."""

    def __init__(self, check: Reading, unfinished: Unfinished, names: OpenNames, window: int, overlap: int) -> None:
        """`window`: code points of one; `overlap`: how much two share, and how far before its end one is cut at a space."""
        self._check, self._unfinished, self._names = check, unfinished, names
        self._room = window - 2 * overlap - _NEAR
        self._done: list[Finding] = []
        self._settled = self._held = 0

    def __call__(self, text: str, *, ending: bool) -> Progress:
        """As `guard.following.Follower`."""
        plain = self._check.plain(text)
        cuts = [cut for cut in self._check.cuts(plain) if cut[1] > self._settled]
        again = self._again(plain, cuts[0][0] if cuts else 0)
        ranges = [(start, max(start, again), end) for start, end in cuts]
        found = list(self._check.findings(plain, [(start, end) for _, start, end in ranges], self._settled))
        settled = len(plain) if ending else self._frontier(plain, ranges[-1] if ranges else (0, 0, 0), found)
        scan = Scan((*self._done, *found), Span(0, len(text)))
        self._done += [one for one in found if _start(one) < settled]
        self._settled = settled
        return Progress(scan, settled)

    def _frontier(self, text: str, last: tuple[int, int, int], found: Iterable[Finding]) -> int:
        """`last`: where the last window begins, from where on it was read, and where it ends."""
        window, start, _ = last
        self._held = self._unfinished.start(text, max(self._held, self._settled))
        # Where the next window begins is known when this one is full.
        place = min(self._held, self._names.settled(text, start, self._settled), window + self._room)
        for one in sorted(found, key=_start, reverse=True):
            if isinstance(one.where, Span) and one.where.end + (_NEAR if one.label in _ADDRESSES else 0) > place:
                place = min(place, one.where.start)
        return max(place, self._settled)

    def _again(self, text: str, window: int) -> int:
        """From where on a window has to be read again. Where Chinese is in it, whole lines are: they tell its language."""
        most = self._settled - BACK
        if most <= window:
            return window
        borders = _PARAGRAPH if has_han(text[window:]) else _SENTENCE
        places = [match.end() for match in borders.finditer(text, max(window, most - 3 * BACK), most + 1)]
        quiet = (place for place in reversed(places) if _QUIET.search(text, place, self._settled))
        return next(quiet, window)


class OpenNames:
    """What later words may still change about the names that taggers find."""

    def __init__(self, taggers: Mapping[str, NameTagger], wanted: Collection[str]) -> None:
        """`wanted`: the entity types that are reported."""
        self._taggers, self._wanted = taggers, frozenset(wanted)

    def settled(self, text: str, start: int, since: int) -> int:
        """Before which code point names are settled. `start`: from where on it is read. `since`: what was settled before.

        Which tagger a line belongs to is known at its end. A line with Chinese and Latin words waits for that; one with words
        of one script alone is taken for what it is, but for the Latin names that the Chinese tagger would give in it.
        """
        if not self._taggers:
            return len(text)
        tail, line = text[start:], max(0, text.rfind("\n") + 1 - start)
        mixed = has_han(tail[line:]) and has_words(tail[line:])
        place = len(tail)
        for language, tagger in self._taggers.items():
            if language == "zh":
                place = min(place, tagger.closed(tail, REACH))
                undecided = [
                    one for one in tagger(tail) if one.end_char > line and not has_han(tail[one.start_char : one.end_char])
                ]
            else:
                latin, chinese = blanked(tail, line), blanked(tail, line)[:line] + " " * (len(tail) - line)
                as_it_is = latin if mixed or not has_han(tail[line:]) else chinese
                place = min(place, tagger.closed(as_it_is, REACH), tagger.closed(chinese, REACH) if mixed else place)
                either = set(latin_names(tagger, latin)).symmetric_difference(latin_names(tagger, chinese))
                undecided = [one for one in either if mixed or one.start_char < line]
            found = (one.start_char for one in plausible_names(undecided, tail) if one.label_ in self._wanted)
            place = min(place, *found, place)
        return max(since, start + place)


def _start(finding: Finding) -> int:
    return finding.where.start if isinstance(finding.where, Span) else 0
