"""Where patterns could still begin a match in a text that goes on.

`regex` finds partial matches, but gives a whole one first where there is any. So each pattern is followed here by something
that no text has: no match is ever whole, every way to read a pattern is tried, and a match counts as unfinished when it, or
what it looks ahead at, reaches the end, or when it ends so near to it that what follows may yet matter.
What is answered errs on one side: a match may be held that cannot grow, and none that can grow is let go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import regex

AHEAD = 16
"""Code points behind a match on which it may depend: look-aheads, and words that raise a score."""
_NOTHING = "\U0010fffe"
_TIMEOUT_S = 2.0
_LOOKBEHIND = regex.compile(r"\(\?<[!=]")
_LOOKS_FAR = regex.compile(r"\(\?<=|\\[bBAG]")
_REQUIRES = regex.compile(r"\(\?<=")
_NO = regex.compile(r"\(\?<?!")
_LOOKED = 4
"""Code points from a place on that tell whether a pattern may begin there."""
_END = r"\Z"
_NEVER = "(?!)"
_PART = regex.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*+(?:\]|\\?\Z)", regex.DOTALL)
"""What is escaped, and classes of characters. One that nothing closes, as no pattern has, goes to the end: so it is linear."""
_ONE = regex.compile(r"\\[^pPxuUNLXRG]|\[\^?\]?(?:\\.|[^\]\\])*+\]|[^\\\[\](){}|?*+]", regex.DOTALL)
"""What one character matches, and nothing longer."""
_MOST_KNOWN = 50_000
_LONGEST_WORD = 24
_SHORT = 512
"""Code points that are searched without letting other threads run: to hand over and to wait takes longer than the search."""


class Unfinished:
    """Some patterns of the `regex` module.

    Which of them can begin where is told by the character before a place and the four from there on, and for what stands
    between two spaces by all of it. Both is remembered: in plain text hardly a place
    is left at which a pattern has to be tried.
    """

    def __init__(self, patterns: Iterable[tuple[str, int]], ahead: int = AHEAD) -> None:
        """`patterns`: each with its flags. `ahead`: code points behind a match on which its finding may depend."""
        given = list(patterns)
        self._ends = [regex.compile(_open(pattern, ahead), flags) for pattern, flags in given]
        begins = [_without_required(_without_ends(pattern)) for pattern, _ in given]
        self._begins = [regex.compile(_open(one, ahead), flags) for one, (_, flags) in zip(begins, given, strict=True)]
        self._anywhere = tuple(number for number, pattern in enumerate(begins) if _looks_far(pattern))
        self._near = tuple(number for number in range(len(given)) if number not in self._anywhere)
        self._looks_near = frozenset(number for number in self._near if _looks_back_by_one(given[number][0]))
        self._looks_first = frozenset(number for number in self._near if _looks_back_first(given[number][0]))
        self._begin: dict[str, tuple[int, ...]] = {}
        self._go_on: dict[str, tuple[int, ...]] = {}
        self._words: dict[str, tuple[tuple[int, tuple[int, ...]], ...]] = {}
        """Of what stands between two spaces, or behind the last one: places in it, with the patterns that may begin there."""

        self._last_words: dict[str, int] = {}
        """Of what stands behind the last space: the first place at which one may begin that looks back by one character."""

    def start(self, text: str, since: int = 0) -> int:
        """The first code point from `since` on at which a match may begin that more text could still make or change.

        The length of the text where there is none. Raises TimeoutError for a pattern that takes seconds.
        """
        first, more = self._of_end(text, max(text.rfind(" ") + 1, since)), len(text) - since > _SHORT
        for number, place in self._candidates(text, since).items():
            if place < first:  # what begins behind the first one does not matter any more
                first = min(first, self._begun(number, text, place, concurrent=more))
        return first

    def _begun(self, number: int, text: str, place: int, *, concurrent: bool) -> int:
        """Where a pattern may begin from a place on; the length of the text for nowhere."""
        found: Any = self._ends[number].search(text, place, partial=True, timeout=_TIMEOUT_S, concurrent=concurrent)
        return len(text) if found is None else int(found.start())

    def _of_end(self, text: str, begin: int) -> int:
        """The first place at which one may begin in the last word of a text, of those for which the word alone tells that.

        `begin`: where the word begins. The length of the text where it is too long, or not known to begin there.
        """
        if not 0 < len(text) - begin <= _LONGEST_WORD or text[begin - 1 : begin] != " ":
            return len(text)
        around = text[begin - 1 :]
        first = self._last_words.get(around)
        if first is None:
            places = dict[int, int]()
            for place, numbers in self._of_word(around):
                for number in self._looks_near.intersection(numbers):
                    places.setdefault(number, place + 1)
            found = (self._begun(number, around, place, concurrent=False) for number, place in places.items())
            first = self._last_words[around] = min(found, default=len(around)) - 1
            _keep_small(self._last_words)
        return begin + first

    def _candidates(self, text: str, since: int) -> dict[int, int]:
        """Patterns that can begin somewhere from `since` on, each with the first such place; but those of `_of_end`."""
        places, place = dict.fromkeys(self._anywhere, since), since
        while place < len(text):
            end = text.find(" ", place)
            behind = end + 1 if end >= 0 else len(text)
            if behind - place <= _LONGEST_WORD and text[place - 1 : place] == " ":
                for at, numbers in self._of_word(text[place - 1 : behind]):
                    here = self._at(text, place + at) if end >= 0 else ()  # knows also what follows the word
                    for number in numbers:
                        if number in here or number not in (self._looks_first if end >= 0 else self._looks_near):
                            places.setdefault(number, place + at)
            else:
                for at in range(place, behind):
                    for number in self._at(text, at):
                        places.setdefault(number, at)
            place = behind
        return places

    def _of_word(self, around: str) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Places in a word at which patterns may begin, with these. `around`: the word with the spaces on both its sides.

        At the end of a text there is none behind it.
        """
        known = self._words.get(around)
        if known is None:
            found = [(place, self._beginning(around[place:], self._at(around, place + 1))) for place in range(len(around) - 1)]
            known = self._words[around] = tuple(one for one in found if one[1])
            _keep_small(self._words)
        return known

    def _at(self, text: str, place: int) -> tuple[int, ...]:
        """Patterns that may begin at a place, as far as the next few characters tell."""
        around = text[place - 1 : place + 1] if place else _NOTHING + text[:1]
        some = self._begin.get(around)
        if some is None:
            some = self._begin[around] = self._beginning(around, self._near)
            _keep_small(self._begin)
        if not some:
            return some
        around = text[place - 1 : place + _LOOKED] if place else _NOTHING + text[:_LOOKED]
        known = self._go_on.get(around)
        if known is None:
            known = self._go_on[around] = self._beginning(around, some)
            _keep_small(self._go_on)
        return known

    def _beginning(self, around: str, numbers: Iterable[int]) -> tuple[int, ...]:
        """Those of some patterns that may begin at the second of these characters; the first is the one before it, if any."""
        part, place = (around[1:], 0) if around[0] == _NOTHING else (around, 1)
        return tuple(one for one in numbers if self._begins[one].match(part, place, partial=True) is not None)


def _looks_far(pattern: str) -> bool:
    """Whether the character before a place and the next few do not tell that it cannot begin there."""
    if _LOOKS_FAR.search(pattern):
        return True
    insides = (_PART.sub(_unless_class, inside) for _, _, inside in _denials(pattern))
    return any(_END in one or "$" in one for one in insides)


def _looks_back_by_one(pattern: str) -> bool:
    """Whether no look-behind of a pattern reads more than one character."""
    kept = _without_long_lookbehinds(pattern)
    openings = (one.end() for one in _LOOKBEHIND.finditer(kept))
    return all(_ONE.fullmatch(kept, begin, closing(kept, begin) - 1) is not None for begin in openings)


def _looks_back_first(pattern: str) -> bool:
    """Whether a pattern looks back at its beginning alone: elsewhere `regex` forgets that a lazy repetition may go on there."""
    place = 0
    while opening := _LOOKBEHIND.match(pattern, place):
        place = closing(pattern, opening.end())
    return _LOOKBEHIND.search(pattern, place) is None


def _unless_class(found: regex.Match[str]) -> str:
    return "" if found.group().startswith("[") else found.group()


def _not_the_end(found: regex.Match[str]) -> str:
    return _NEVER if found.group() == _END else found.group()


def _denials(pattern: str) -> Iterator[tuple[int, int, str]]:
    """Negative look-arounds, the outermost: where what each denies begins and ends, and that."""
    place = 0
    for opening in _NO.finditer(pattern):
        if opening.start() >= place:
            place = closing(pattern, opening.end())
            yield opening.end(), place, pattern[opening.end() : place]


def _without_ends(pattern: str) -> str:
    """The pattern with the end of a text not denied: where only a part of it is seen, that end is none."""
    kept, place = "", 0
    for begin, end, inside in _denials(pattern):
        if not _NO.search(inside):
            kept, place = kept + pattern[place:begin] + _PART.sub(_not_the_end, inside), end
    return kept + pattern[place:]


def _without_required(pattern: str) -> str:
    """The pattern without what has to stand before a place, unless something else denies that: it may begin in more places."""
    denied = [range(begin, end) for begin, end, _ in _denials(pattern)]
    kept, place = "", 0
    for opening in _REQUIRES.finditer(pattern):
        if opening.start() >= place and not any(opening.start() in one for one in denied):
            kept, place = kept + pattern[place : opening.start()], closing(pattern, opening.end())
    return kept + pattern[place:]


def _keep_small(known: dict[str, Any]) -> None:
    if len(known) > _MOST_KNOWN:
        known.clear()


def _open(pattern: str, ahead: int) -> str:
    return rf"(?:{_without_long_lookbehinds(pattern)})(?s:.){{0,{ahead}}}?{_NOTHING}(?!)"


def _without_long_lookbehinds(pattern: str) -> str:
    """The pattern without look-behinds of several lengths, which `regex` takes for unfinished: it may begin in more places."""
    kept, place = "", 0
    for opening in _LOOKBEHIND.finditer(pattern):
        if opening.start() < place:
            continue
        end = closing(pattern, opening.end())
        if "{" in pattern[opening.end() : end]:
            kept, place = kept + pattern[place : opening.start()], end
    return kept + pattern[place:]


def closing(pattern: str, place: int) -> int:
    """Behind the parenthesis that closes a group whose inside begins here."""
    depth, in_class = 1, False
    while depth:
        sign = pattern[place]
        if sign == "\\":
            place += 1
        elif in_class:
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
        else:
            depth += (sign == "(") - (sign == ")")
        place += 1
    return place
