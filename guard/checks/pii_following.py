"""Follows a text for the `pii` check: what of its beginning is settled, and how little has to be read again.

The findings are those of a whole text. The check reads windows of 4,000 characters; of those that are done with nothing is read
again. Of the last one the taggers read each word once, or twice while it stands near the end (`guard.checks.name_growing`), and
patterns read what stands up to some 300 characters before what is settled: further back nothing reaches, neither the words that
raise a score (five), nor a row of digits, which may not fill that space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from guard.checks.name_growing import Growing
from guard.checks.name_tagger import DILATIONS, Name, NameTagger
from guard.checks.pii_names import (
    BEGINNING,
    LEAD,
    blanked,
    has_han,
    has_words,
    latin_names,
    may_be_chinese,
    plausible_names,
    read,
)
from guard.following import Progress
from guard.text.unfinished import Unfinished
from guard.types import Finding, Scan, Span

BACK = 240
"""Code points before what is settled that patterns read again, at least."""
REACH, REACH_ZH = sum(DILATIONS), sum(DILATIONS) + 5
"""Tokens behind a name on which it may depend: the convolutions'; in Chinese also features, 2, and a form of address, 3."""
AT_ONCE = 256
"""New code points up to which names are looked for on the event loop: a pass of a tagger over so many takes some 0.5 ms."""
_NEAR = 64
"""Code points behind an address within which another part of it may stand."""
_ADDRESSES = frozenset({"STREET_ADDRESS", "LOCATION"})
_BORDER = re.compile(r"\n+|[.!?]\s+|[。！？；]")
_QUIET = re.compile(r"[^0-9@:]{64}")


Asked = tuple[str, int, str, list[str]]
"""A language, where a part of a text begins, the part, and the entity types that its patterns may find there."""


class Reading(Protocol):
    """What a `pii` check does for its follower."""

    def plain(self, text: str) -> str:
        """The text as it is compared, one character for one; each by itself."""

    def cuts(self, text: str) -> Sequence[tuple[int, int]]:
        """The windows in which a whole text is read."""

    def unbroken(self, text: str) -> str:
        """A window as the taggers read it, one character for one; its beginning does not depend on what follows."""

    def wanted(self, text: str, ranges: Sequence[tuple[int, int]], since: int, clear: int) -> Sequence[Asked]:
        """What patterns have to look for in these ranges of a plain text; nothing where none can find anything.

        `since`: where that begins at the earliest. `clear`: the length of the text when nothing was wanted.
        """

    @property
    def denies(self) -> bool:
        """Whether there are terms that are always found."""

    def findings(self, text: str, wanted: Sequence[Asked], since: int, names: Iterable[Name]) -> Sequence[Finding]:
        """What patterns find of what is wanted in a plain text, and these names of it: all that begins at `since` or later."""


class Following:
    """A `guard.following.MaybeQuick`: quick where little is new and no pattern can find anything."""

    def __init__(
        self, check: Reading, unfinished: Unfinished, names: Callable[[], OpenNames] | None, window: int, overlap: int
    ) -> None:
        """`names`: begins with a window; None: it reads for no names. `window`: code points of one; `overlap`: of two."""
        self._check, self._unfinished, self._begin = check, unfinished, names
        self._room = window - 2 * overlap - _NEAR
        self._plain = ""
        self._names: dict[int, OpenNames] = {}
        self._unbroken: dict[int, str] = {}
        self._done: list[Finding] = []
        self._borders: list[int] = []
        """Where sentences begin, as far as `_bordered`."""
        self._bordered = 0
        self._settled = self._held = self._tagged = self._clear = 0

    def __call__(self, text: str, *, ending: bool) -> Progress:
        """As `guard.following.Follower`."""
        cuts, wanted = self._come(text)
        return self._read(cuts, wanted, ending=ending)

    def quickly(self, text: str, *, ending: bool) -> Progress | None:
        """As `guard.following.MaybeQuick`: None where patterns have to look, or much is new for the names' taggers."""
        if self._begin is not None and len(text) - self._tagged > AT_ONCE:
            return None
        cuts, wanted = self._come(text)
        return None if wanted or self._check.denies else self._read(cuts, wanted, ending=ending)

    def _read(self, cuts: Sequence[tuple[int, int]], wanted: Sequence[Asked], *, ending: bool) -> Progress:
        plain = self._plain
        found = list(self._check.findings(plain, wanted, self._settled, self._named(cuts)))
        settled = len(plain) if ending else self._frontier(plain, cuts[-1][0] if cuts else 0, found)
        scan = Scan((*self._done, *found), Span(0, len(plain)))
        self._done += [one for one in found if _start(one) < settled]
        self._settled, self._tagged = settled, len(plain)
        return Progress(scan, settled)

    def _named(self, cuts: Sequence[tuple[int, int]]) -> list[Name]:
        """The names of these windows that begin at what is settled, or later."""
        if self._begin is None:
            return []
        self._names = {start: self._names.get(start) or self._begin() for start, _ in cuts}
        self._unbroken = {start: self._without_long_runs(start, end) for start, end in cuts}
        return [
            replace(one, start_char=start + one.start_char, end_char=start + one.end_char)
            for start, _ in cuts
            for one in self._names[start].found(self._unbroken[start], self._settled - start)
        ]

    def _without_long_runs(self, start: int, end: int) -> str:
        """A window as the taggers read it: what stands before a space is as it was."""
        known = self._unbroken.get(start, "")
        border = known.rfind(" ", 0, end - start) + 1
        return known[:border] + self._check.unbroken(self._plain[start + border : end])

    def _come(self, text: str) -> tuple[list[tuple[int, int]], Sequence[Asked]]:
        """Read on: the windows that are not done with, and what patterns have to look for in them."""
        plain = self._plain = self._plain + self._check.plain(text[len(self._plain) :])
        cuts = [cut for cut in self._check.cuts(plain) if cut[1] > self._settled]
        again = self._again(plain, cuts[0][0] if cuts else 0)
        wanted = self._check.wanted(plain, [(max(start, again), end) for start, end in cuts], self._settled, self._clear)
        self._clear = self._clear if wanted else len(plain)
        return cuts, wanted

    def _frontier(self, text: str, window: int, found: Iterable[Finding]) -> int:
        """`window`: where the last one begins."""
        self._held = self._unfinished.start(text, max(self._held, self._settled))
        # Where the next window begins is known when this one is full.
        place = min(self._held, window + self._room)
        if window in self._names:
            place = min(place, window + self._names[window].settled(self._unbroken[window]))
        for one in sorted(found, key=_start, reverse=True):
            if isinstance(one.where, Span) and one.where.end + (_NEAR if one.label in _ADDRESSES else 0) > place:
                place = min(place, one.where.start)
        return max(place, self._settled)

    def _again(self, text: str, window: int) -> int:
        """From where on patterns have to read a window again: where a sentence begins that no row of digits fills."""
        most = self._settled - BACK
        if most <= window:
            return window
        self._find_borders(text, most + 1)
        for place in reversed(self._borders):
            if place <= window or place < most - 3 * BACK:
                break
            if _QUIET.search(text, place, self._settled):
                return place
        return window

    def _find_borders(self, text: str, end: int) -> None:
        """Where sentences begin before `end`, in what was not looked at yet."""
        for match in _BORDER.finditer(text, self._bordered, end):
            self._borders.append(match.end())
        self._bordered = max(self._borders[-1] if self._borders else 0, end - 1)  # white space may follow a mark there


class OpenNames:
    """The names that taggers find in one window, and what later words may still change about them."""

    def __init__(self, taggers: Mapping[str, NameTagger], wanted: Collection[str]) -> None:
        """`wanted`: the entity types that are reported."""
        self._taggers = {language: Growing(tagger) for language, tagger in taggers.items()}
        self._without_line = {language: Growing(tagger) for language, tagger in taggers.items() if language != "zh"}
        """Read the text as it is for them if its last line is Chinese."""
        self._wanted = frozenset(wanted)

    def found(self, window: str, since: int) -> list[Name]:
        """Those of the window as it is by now that begin at `since` or later, with their entity types for labels."""
        names = []
        for tagger in self._taggers.values():
            tagger.since = since
            names += [one for one in plausible_names(read(tagger, window), window) if one.label_ in self._wanted]
        return [one for one in names if one.start_char >= since]

    def settled(self, window: str) -> int:
        """Before which code point of the window names are settled.

        Which tagger a line belongs to is known after its beginning; until then, names that only one of both answers gives have
        to wait.
        """
        place, line = len(window), window.rfind("\n") + 1
        known = len(window) - line >= BEGINNING or not may_be_chinese(window[line:])
        for language, tagger in self._taggers.items():
            if language == "zh":
                closed, undecided = self._chinese(tagger, window, None if known else line)
            elif known:
                closed, undecided = tagger.closed(blanked(window), REACH), []
            else:
                closed, undecided = self._latin(language, window, line)
            found = (one.start_char for one in plausible_names(undecided, window) if one.label_ in self._wanted)
            place = min([place, closed, *found])
        return place

    @staticmethod
    def _chinese(tagger: Growing, window: str, line: int | None) -> tuple[int, list[Name]]:
        """Before where the Chinese tagger's names are settled, and those that are none if the last line is not Chinese.

        `line`: where the last line begins, None where it is known whose it is.
        """
        if line is None and not has_han(window):
            return max(0, len(window) - LEAD), []  # a name of both scripts does not begin further before its Chinese part
        closed = tagger.closed(window, REACH_ZH if has_han(window) else REACH)
        undecided = [] if line is None else [one for one in tagger(window) if one.end_char > line]
        return closed, [one for one in undecided if not has_han(window[one.start_char : one.end_char])]

    def _latin(self, language: str, window: str, line: int) -> tuple[int, list[Name]]:
        """Before where another tagger's names are settled, and those that are found in only one of both cases."""
        tagger, without = self._taggers[language], self._without_line[language]
        latin = blanked(window, line)
        chinese = latin[:line] + " " * (len(window) - line)
        place = tagger.closed(latin, REACH)
        # The last line is not there for the tagger if it is Chinese: the next one follows the lines before it.
        place = min(place, without.closed(chinese, REACH) if has_words(chinese[:line]) else len(chinese))
        without.since = tagger.since
        return place, [*set(latin_names(tagger, latin)).symmetric_difference(latin_names(without, chinese))]


def _start(finding: Finding) -> int:
    return finding.where.start if isinstance(finding.where, Span) else 0
