"""What the `prompt_injection` model sees of a text: hashed word and concept n-grams, each with the place where it begins.

A token is a word, a number, one Chinese character, or one sign; special tokens of chat templates (`<|im_start|>`) stay whole. A
concept is a class of words that mean much the same ("ignore", "disregard", "无视"): the model's `concepts.json` has the table.
All features are 32-bit numbers, computed for the whole text at once; a window's features are those that begin inside it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(
    r"<\|?/?\w{1,24}\|?>|\[/?inst\]|<</?sys>>|[㐀-鿿豈-﫿]|[^\W\d_㐀-鿿豈-﫿]+(?:['’][^\W\d_]{1,3})?|\d+|#{2,8}|[^\w\s]|_+"
)
_CHINESE = re.compile("[㐀-鿿豈-﫿]")
LONGEST_WORD = 6
"""Code points of the longest Chinese word that may stand in a table of concepts."""
_KINDS = {"one": 1, "two": 2, "three": 3, "four": 4, "gap": 5, "concept": 6, "pair": 7, "triple": 8}
_SKIPS = (1, 2, 3, 4)
_PRIME, _OTHER = 0x9E3779B1, 0x85EBCA6B


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Tokens of a text with their places, and for each feature its number and the token where it begins."""

    spans: list[tuple[int, int]]
    numbers: Any
    """uint32 array."""
    tokens: Any
    """int32 array of the same length."""


@lru_cache(maxsize=20_000)
def _number(token: str) -> int:
    return zlib.crc32(token.encode("utf-8", "surrogatepass"))


def tokenise(text: str) -> list[tuple[str, int, int]]:
    """Lower-case tokens with their ranges in the text. Lengths are kept: a letter whose small form is longer stays as it is."""
    small = text.lower()
    if len(small) != len(text):
        small = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
    return [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(small)]


def extract(text: str, concepts: Mapping[str, int]) -> Features:
    """All features of a text, in time linear in its length."""
    import numpy as np

    found = tokenise(text)
    words = np.array([_number(token) for token, _, _ in found], np.uint32)
    numbers, tokens = [], []

    def add(kind: str, values: Any, places: Any) -> None:
        mixed = (values ^ np.uint32(_KINDS[kind] * 0x01000193)) * np.uint32(_PRIME)
        numbers.append(mixed ^ (mixed >> np.uint32(15)))
        tokens.append(places)

    places = np.arange(len(words), dtype=np.int32)
    add("one", words, places)
    chain = words
    for kind, width in (("two", 2), ("three", 3), ("four", 4)):
        if len(words) >= width:
            chain = join(chain[:-1], words[width - 1 :])
            add(kind, chain, places[: len(chain)])
    if len(words) > 2:
        add("gap", join(words[:-2], words[2:]), places[:-2])
    classes, where = _concepts(found, concepts)
    add("concept", classes, where)
    for skip in _SKIPS:
        if len(classes) > skip:
            add("pair", join(classes[:-skip], classes[skip:]), where[:-skip])
    if len(classes) > 2:
        add("triple", join(join(classes[:-2], classes[1:-1]), classes[2:]), where[:-2])
    return Features([(start, end) for _, start, end in found], np.concatenate(numbers), np.concatenate(tokens))


def join(left: Any, right: Any) -> Any:
    """One number for each pair of two uint32 arrays, depending on their order."""
    import numpy as np

    mixed = left * np.uint32(_PRIME) + right * np.uint32(_OTHER) + np.uint32(0x27D4EB2F)
    return mixed ^ (mixed >> np.uint32(13))


def _concepts(found: list[tuple[str, int, int]], concepts: Mapping[str, int]) -> tuple[Any, Any]:
    """The concepts of a text in order, and the token where each begins; words without one are left out."""
    import numpy as np

    classes: list[int] = []
    where: list[int] = []
    index, count = 0, len(found)
    while index < count:
        token = found[index][0]
        step, concept = 1, concepts.get(token)
        if _CHINESE.match(token):
            longest = min(LONGEST_WORD, count - index)
            for width in range(longest, 1, -1):
                word = "".join(token for token, _, _ in found[index : index + width])
                if word in concepts:
                    step, concept = width, concepts[word]
                    break
        if concept is not None:
            classes.append(concept)
            where.append(index)
        index += step
    return np.array(classes, np.uint32), np.array(where, np.int32)
