"""Searches a text for everything that patterns find, in all languages at once.

What it finds is what Presidio finds with the recognizers of `guard.checks.pii_engine`: the same types, places and scores, which
tests compare over thousands of texts. Only the way there is shorter:

- An expression is tried where a match of it can begin (`guard.text.beginnings`), and nowhere behind the last digit of a text if
  each of its matches has one.
- It is not tried in a text that lacks what each of its matches has (`guard.checks.pii_spec.Needs`).
- The words around a match are looked at for those alone that a word of the text could raise.
- A result is a tuple; Presidio makes an object with an explanation, and copies both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import digits
from time import perf_counter
from typing import TYPE_CHECKING, Any

from guard.checks.name_tagger import Name, NameTagger
from guard.checks.pii_engine import (
    NATIONAL,
    NATIONAL_NEEDS,
    Found,
    NationalNumbers,
    boosted,
    finders,
    follows_code_word,
    handicap,
    is_announced,
    national_number,
)
from guard.checks.pii_names import MODEL_LABELS, NAME_MODEL, plausible_names, tokenizers
from guard.checks.pii_names import read as names_in
from guard.checks.pii_patterns import PHONE_CONTEXT
from guard.checks.pii_prefilter import traits
from guard.checks.pii_spec import Needs
from guard.checks.pii_words import Words
from guard.errors import ModelError
from guard.text.beginnings import Beginnings, begins_a_word
from guard.text.patience import Patience

if TYPE_CHECKING:
    from spacy.language import Language

_TIMEOUT_S = 2.0
"""Of computing, for all expressions over one text."""
_SPACE = re.compile(r"\s")
_SHORT = 4096
"""Code points that are searched without letting other threads run: to hand over and to wait takes longer than the search."""
_FREE_S = 0.02
"""Until then nobody looks how long they took: to ask for the computing time of a thread takes longer than most searches."""


@dataclass(frozen=True, slots=True, eq=False)
class _Finder:
    """An entry of the table, or the national telephone numbers of some regions."""

    language: str
    entity: str
    name: str
    handicap: float
    needs: Needs
    words: frozenset[str]
    chinese: tuple[str, ...]
    validate: Callable[[str], bool | None] | None = None
    not_after_code: bool = False
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Expression:
    """One of a finder's."""

    finder: _Finder
    pattern: Any
    score: float
    group: str | int


class _Text:
    """A text, and what is known of it so far."""

    __slots__ = ("_began", "_codes", "_ends", "_met", "_patience", "_unbroken", "_words", "text", "traits")

    def __init__(self, text: str, since: int, unbroken: Callable[[str], str]) -> None:
        self.text, self.traits = text, traits(text, since)
        self._began = perf_counter()
        self._patience: Patience | None = None
        self._unbroken: Callable[[str], str] | str = unbroken
        self._met: dict[_Finder, bool] = {}
        self._codes: dict[int, bool] = {}
        self._ends: dict[int, int] = {}
        self._words: dict[tuple[str, int], set[str]] = {}

    def left(self) -> float:
        """What an expression may still take. Raises TimeoutError when nothing is left."""
        if self._patience is None:
            if perf_counter() - self._began < _FREE_S:
                return _TIMEOUT_S
            self._patience = Patience(_TIMEOUT_S)
        return self._patience.left()

    def meets(self, finder: _Finder) -> bool:
        """Whether it has what all matches of this finder have."""
        met = self._met.get(finder)
        if met is None:
            met = self._met[finder] = self.traits.meet(finder.needs)
        return met

    def follows_code_word(self, place: int) -> bool:
        """As of `guard.checks.pii_engine`."""
        if place not in self._codes:
            self._codes[place] = follows_code_word(self.text, place)
        return self._codes[place]

    def is_code(self, start: int, end: int) -> bool:
        """As of `guard.checks.pii_engine`."""
        return self.text[start:end].isdecimal() and self.follows_code_word(start)

    def national_end(self, place: int) -> int:
        """Where that ends which begins here and looks like a telephone number; 0 for none."""
        if place not in self._ends:
            found = NATIONAL.match(self.text, place)
            self._ends[place] = found.end() if found else 0
        return self._ends[place]

    def begins(self, words: Iterable[str]) -> Sequence[int]:
        """Where these words stand in it; none: that is not known."""
        lower = self.traits.lower
        if len(lower) != len(self.text):
            return ()
        return sorted(match for word in words for match in _places(lower, word))

    def has_around(self, finder: _Finder, start: int, words: Words) -> bool:
        """Whether one of the finder's words stands at a match."""
        lower, end = self.traits.lower, len(self.text)
        # What begins with a digit is a word that counts itself: none behind it does.
        if self.text[start] in digits and ":" not in self.text and (after := _SPACE.search(self.text, start)):
            end = after.start()
        if all(lower.find(word, 0, end) < 0 for word in finder.words):
            return False
        if not isinstance(self._unbroken, str):
            self._unbroken = self._unbroken(self.text)
        key = (finder.language, start)
        if key not in self._words:
            self._words[key] = words.around(self._unbroken, start)
        return not finder.words.isdisjoint(self._words[key])


class PatternSearch:
    """Of some languages, for some types of personal data."""

    def __init__(
        self,
        languages: Sequence[str],
        models: Mapping[str, Language | NameTagger],
        phone_regions: Sequence[str],
        entities: Collection[str],
        unbroken: Callable[[str], str] = str,
    ) -> None:
        """`models`, `phone_regions`: as of `guard.checks.pii_engine.build`, but only taggers read for names.

        `unbroken`: a text as its words are told apart, one character for one.
        """
        self._entities = frozenset(entities)
        self._unbroken = unbroken
        self._words = {language: Words(tokenizer) for language, tokenizer in tokenizers(languages, models).items()}
        named = not self._entities.isdisjoint(MODEL_LABELS.values())
        self._taggers = {language: one for language, one in models.items() if named and isinstance(one, NameTagger)}
        made = list(_expressions(languages, models, phone_regions, self._entities))
        self._placed: list[_Expression] = []
        self._anywhere: list[_Expression] = []
        for expression in made:
            needs, pattern = expression.finder.needs, expression.pattern
            placed = (needs.digits or needs.run) and begins_a_word(pattern.pattern, pattern.flags)
            (self._placed if placed else self._anywhere).append(expression)
        self._beginnings = Beginnings([(one.pattern.pattern, one.pattern.flags) for one in self._placed])

    def __call__(self, texts: Iterable[str]) -> Iterator[list[Found]]:
        """Of each text, as it is compared: all that stands in it.

        Raises ModelError when an expression runs out of time.
        """
        for text in texts:
            broken = self._unbroken(text)
            names = {language: plausible_names(names_in(one, broken), broken) for language, one in self._taggers.items()}
            yield self.found(text, names)

    def found(self, text: str, names: Mapping[str, Iterable[Name]] | None = None, since: int = 0) -> list[Found]:
        """What patterns find in a text, with these names: of each language, by score.

        `names`: what each language's model found in it, with entity types for labels. `since`: where what is wanted begins at
        the earliest. Raises ModelError when an expression runs out of time.
        """
        found: dict[str, list[Found]] = {language: [] for language in self._words}
        for language, some in (names or {}).items():
            wanted = (one for one in some if one.label_ in self._entities)
            found[language] += [Found(one.start_char, one.end_char, one.label_, one.score, NAME_MODEL) for one in wanted]
        read = _Text(text, since, self._unbroken)
        for finder, start, end, score in self._matches(read):
            final = self._score(read, finder, start, end, score)
            found[finder.language].append(Found(start, end, finder.entity, final, finder.name))
        return [one for some in found.values() for one in without_contained(some)]

    def _score(self, read: _Text, finder: _Finder, start: int, end: int, score: float) -> float:
        score -= finder.handicap
        if is_announced(read.text, start, end, finder.chinese):
            return boosted(score)
        if finder.words and read.has_around(finder, start, self._words[finder.language]):
            return boosted(score)
        return score

    def _matches(self, read: _Text) -> Iterator[tuple[_Finder, int, int, float]]:
        """Each match that can be what it is taken for, with its score."""
        for expression, places in self._tried(read):
            finder = expression.finder
            try:
                if finder.regions:
                    yield from _numbers(read, finder, places)
                    continue
                for match in _tried_at(read, expression.pattern, places) if places else _searched(read, expression.pattern):
                    start, end = match.span(expression.group)
                    valid = finder.validate(match.group(expression.group)) if finder.validate else None
                    if valid is not False and not (finder.not_after_code and read.is_code(start, end)):
                        yield finder, start, end, 1.0 if valid else expression.score
            except TimeoutError:
                raise ModelError(
                    f"{finder.name} took longer than {_TIMEOUT_S} s, expected milliseconds",
                    advice="The machine is overloaded, or the text was made to slow it down: treat it as not checked.",
                ) from None

    def _tried(self, read: _Text) -> Iterator[tuple[_Expression, Sequence[int]]]:
        """The expressions that a match may be of, with the places where they may begin; none: anywhere."""
        if read.traits.digits:
            last = max(map(read.text.rfind, digits))
            for number, places in self._beginnings.places(read.text, last + 1).items():
                expression = self._placed[number]
                if read.meets(expression.finder):
                    yield expression, places
        for expression in self._anywhere:
            if read.meets(expression.finder):
                needs = expression.finder.needs
                yield expression, read.begins(needs.words) if needs.first else ()


def _expressions(
    languages: Sequence[str],
    models: Mapping[str, Language | NameTagger],
    phone_regions: Sequence[str],
    entities: Collection[str],
) -> Iterator[_Expression]:
    """Those of all finders of these entities but the models."""
    import regex

    for place, (language, one) in enumerate(finders(languages, models, phone_regions)):
        if one is None:
            continue
        if isinstance(one, NationalNumbers):
            if "PHONE_NUMBER" in entities:
                words, chinese = _by_script(PHONE_CONTEXT.get(language, PHONE_CONTEXT["en"]))
                finder = _Finder(
                    language, "PHONE_NUMBER", one.name, handicap(place), NATIONAL_NEEDS, words, chinese, regions=one.regions
                )
                yield _Expression(finder, regex.compile(NATIONAL.pattern), 0.0, 0)
        elif one.entity in entities:
            words, chinese = _by_script(one.context)
            finder = _Finder(
                language, one.entity, one.name, handicap(place), one.needs, words, chinese, one.validate, one.not_after_code
            )
            for written, score in one.patterns:
                pattern = regex.compile(written, regex.IGNORECASE if one.ignore_case else 0)
                yield _Expression(finder, pattern, score, "value" if "value" in pattern.groupindex else 0)


def _by_script(words: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Words of a finder: those that have to stand before a match as whole words, and the Chinese ones."""
    words = tuple(words)
    return frozenset(one.lower() for one in words if one.isascii()), tuple(one for one in words if not one.isascii())


def _searched(read: _Text, pattern: Any) -> Iterator[Any]:
    yield from pattern.finditer(read.text, timeout=read.left(), concurrent=len(read.text) > _SHORT)


def _tried_at(read: _Text, pattern: Any, places: Iterable[int]) -> list[Any]:
    """The same by trying these places, in order. Each try is short; only all together are limited."""
    read.left()
    text, match, free, found = read.text, pattern.match, 0, []
    for place in places:
        if place >= free and (one := match(text, place, concurrent=False)) is not None:
            free = one.end()
            found.append(one)
    return found


def _places(text: str, word: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)


def _numbers(read: _Text, finder: _Finder, places: Iterable[int]) -> Iterator[tuple[_Finder, int, int, float]]:
    """National telephone numbers."""
    free = 0
    for place in places:
        end = read.national_end(place) if place >= free else 0
        if end:
            free = end
            number = national_number(read.text, place, end, finder.regions)
            if number is not None and not read.follows_code_word(place):
                free, score = number
                yield finder, place, free, score


def without_contained(results: Iterable[Found]) -> list[Found]:
    """Without those inside an equal or stronger one of the same type, as Presidio leaves them out; the best first."""
    kept: list[Found] = []
    near: list[Found] = []
    for one in sorted(results, key=lambda one: (one.entity, one.start, one.start - one.end, -one.score)):
        near = [other for other in near if other.entity == one.entity and other.end >= one.start]
        if one.score and not any(one.end <= other.end and one.score <= other.score for other in near):
            kept.append(one)
            near.append(one)
    return sorted(kept, key=lambda one: (-one.score, one.start, one.start - one.end))
