"""Marked texts and how they are made: templates with gaps, filled by an inventor of values.

A gap is written `{name}`. `fill` puts an invented value in and marks it when `MARKED` says that it names somebody or somewhere.
Every fifth template of a list, and every fifth name of an inventory, is held out of training.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

MARKED = {
    **dict.fromkeys(("person", "first", "last", "mr", "foreign", "english", "nick"), "PERSON"),
    **dict.fromkeys(("city", "state", "country", "place", "province", "district"), "LOCATION"),
    **dict.fromkeys(("street", "road", "address", "lines", "town_address", "short_address"), "ADDRESS"),
    **dict.fromkeys(("company", "org"), "ORG"),
}
_JOINED = (", ", "\n", ",", " ")
_GAP = re.compile(r"\{(\w+)\}")


class Marked(NamedTuple):
    """One text with its names: (start, end, label) in code points. Nothing is known about the `unknown` ranges.

    `weak`: there is no person and no address in it; places and organisations are not marked.
    """

    text: str
    entities: list[tuple[int, int, str]]
    unknown: list[tuple[int, int]]
    weak: bool = False


def sections(file: str) -> dict[str, list[str]]:
    """Section -> its lines, of one of the text files here; `#` begins a remark."""
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / file).read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            found[line[1:-1]] = lines = []
        elif line and not line.startswith("# "):
            lines.append(line)
    return found


def words(file: str) -> dict[str, list[str]]:
    """Section -> its entries, of a file of words."""
    return {name: [entry for line in lines for entry in line.split(" | ")] for name, lines in sections(file).items()}


def templates(language: str) -> tuple[list[str], list[str]]:
    """The templates of a language with names in them, and those without."""
    sides: tuple[list[str], list[str]] = ([], [])
    for name, lines in sections(f"templates_{language}.txt").items():
        sides[name.startswith("NEUTRAL")].extend(
            re.sub(r"\\(.)", lambda one: "\n" if one[1] == "n" else one[1], line) for line in lines
        )
    return sides


def kept(templates: Sequence[T], *, held_out: bool) -> list[T]:
    """The templates for training, or those held out of it: one in five."""
    return [one for rank, one in enumerate(templates) if (rank % 5 == 4) == held_out]


def own(values: Iterable[str], *, held_out: bool) -> list[str]:
    """The values of an inventory for training, or those held out: one in five, by their checksum."""
    return [one for one in dict.fromkeys(values) if (zlib.crc32(one.encode()) % 5 == 4) == held_out]


def fill(template: str, invent: Callable[[str], str]) -> Marked:
    """Put invented values into the gaps of a template.

    Two names of a person with a blank between them are one, and so are a street and the town, state or country that follows.
    """
    text, entities, last = "", [], 0
    for gap in _GAP.finditer(template):
        text += template[last : gap.start()]
        value = invent(gap.group(1))
        label = MARKED.get(gap.group(1))
        if label == "PERSON" and entities and entities[-1][1:] == (len(text) - 1, label) and text.endswith(" "):
            entities[-1] = (entities[-1][0], len(text) + len(value), label)
        elif (
            label in {"LOCATION", "ADDRESS"}
            and entities
            and entities[-1][2] == "ADDRESS"
            and text[entities[-1][1] :] in _JOINED
        ):
            entities[-1] = (entities[-1][0], len(text) + len(value), "ADDRESS")
        elif label:
            entities.append((len(text), len(text) + len(value), label))
        text, last = text + value, gap.end()
    return Marked(text + template[last:], entities, [])


def join(parts: Sequence[Marked], glue: str) -> Marked:
    """Several texts as one."""
    text, entities, unknown = "", [], []
    for part in parts:
        text += glue if text else ""
        at = len(text)
        entities += [(start + at, end + at, label) for start, end, label in part.entities]
        unknown += [(start + at, end + at) for start, end in part.unknown]
        text += part.text
    return Marked(text, entities, unknown)


def recase(example: Marked, rng: random.Random, lower: float = 0.09, upper: float = 0.03) -> Marked:
    """Now and then all lower or all upper case, as people type; texts whose length would change stay as they are."""
    chance = rng.random()
    text = example.text.lower() if chance < lower else example.text.upper() if chance < lower + upper else example.text
    return example._replace(text=text) if len(text) == len(example.text) else example
