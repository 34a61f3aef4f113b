"""What the console says, in English and Simplified Chinese: one TOML file of words a page and language."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from fastapi import Request as HttpRequest

from console.preferences import Language
from console.said import sayings
from serving.identity.page import LANGUAGE

LANGUAGES: tuple[Language, ...] = get_args(Language)
TAGS: Mapping[str, str] = {"en": "en", "zh": "zh-Hans"}
"""By language: its tag (BCP 47) for browsers."""
FOLDER = Path(__file__).parent / "words"


@dataclass(frozen=True, slots=True)
class Words:
    """All words of one language, by dotted key: file, then keys of its tables."""

    language: Language
    by_key: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        """A sentence with its `{places}` filled in. Raises KeyError for an unknown key or a place without a value."""
        return self.by_key[key].format(**values)

    def of(self, prefix: str, name: str) -> str:
        """The word for a value such as an action; the value itself where there is none, for names that users choose."""
        return self.by_key.get(f"{prefix}.{name}", name)

    def said(self, text: object) -> str:
        """A sentence of the core, which is English, in this language; as it is where it is not known."""
        return sayings(self.language).say(str(text))

    def title(self, text: str) -> str:
        """A title that is the core's or somebody's own, which stays as it is."""
        return sayings(self.language).title(text)

    def condition(self, text: str) -> str:
        """The words of a condition."""
        return sayings(self.language).condition(text)

    def below(self, prefix: str) -> dict[str, str]:
        """Words under a key, for scripts, by what follows it."""
        return {key[len(prefix) + 1 :]: text for key, text in self.by_key.items() if key.startswith(f"{prefix}.")}


@cache
def words(language: Language) -> Words:
    """The words of a language."""
    files = sorted((FOLDER / language).glob("*.toml"))
    return Words(language, dict(pair for file in files for pair in _flat(tomllib.loads(file.read_text("utf-8")), file.stem)))


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        place = f"{prefix}.{key}"
        if isinstance(value, str):
            yield place, value
        else:
            yield from _flat(value, place)


def language_of(http: HttpRequest) -> Language:
    """What somebody chose; else the first that their browser asks for and that is spoken here; else English."""
    chosen = http.cookies.get(LANGUAGE)
    for language in LANGUAGES:
        if chosen == language:
            return language
    asked = sorted(_asked(http.headers.get("accept-language", "")[:200]), key=lambda one: -one[1])
    for tag, _ in asked:
        for language in LANGUAGES:
            if tag == language or tag.startswith(f"{language}-"):
                return language
    return "en"


def _asked(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        tag, _, quality = part.strip().lower().partition(";q=")
        try:
            yield tag, float(quality or 1)
        except ValueError:
            continue
