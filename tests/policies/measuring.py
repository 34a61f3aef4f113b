"""Checks that measure what a test can foresee: scores of words, and the place of what is red in a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw

from guard.errors import ModelError
from guard.imaging import decode
from guard.types import Content, Examples, Finding, Modality, Region, Scan, Span

CATEGORY = "harassment"


@dataclass
class WordScores:
    """Scores words as its parameters say: `scores: {threat: {kill: 620}}`."""

    scores: Mapping[str, Mapping[str, int]]
    trouble: str = ""
    """Why it cannot be loaded."""
    unread: str = ""
    """A word at which it fails."""
    modalities: frozenset[Modality] = frozenset({Modality.TEXT})
    version: str = "1"
    digest: str = ""
    blocking: bool = True
    loads: int = 0
    batches: list[int] = field(default_factory=list)
    examples: Examples = field(default_factory=lambda: Examples((), ()))

    @property
    def labels(self) -> Mapping[str, str]:
        return dict.fromkeys(self.scores, CATEGORY)

    def load(self) -> None:
        self.loads += 1
        if self.trouble:
            raise ModelError(self.trouble)

    def __call__(self, batch: Sequence[Content]) -> list[Scan]:
        self.batches.append(len(batch))
        return [self._scan(content.text) for content in batch]

    def _scan(self, text: str) -> Scan:
        if self.unread and self.unread in text:
            raise ValueError("found a word that it cannot read")
        found = [
            Finding(CATEGORY, label, score, Span(*match.span()))
            for label, words in self.scores.items()
            for word, score in words.items()
            for match in re.finditer(re.escape(word), text)
        ]
        return Scan(tuple(found), Span(0, len(text)))


@dataclass
class RedThings:
    """Finds the box of all pure red pixels."""

    labels: Mapping[str, str] = field(default_factory=lambda: {"red": "intellectual_property"})
    modalities: frozenset[Modality] = frozenset({Modality.IMAGE})
    version: str = "1"
    digest: str = ""
    blocking: bool = True
    examples: Examples = field(default_factory=lambda: Examples((), ()))

    def load(self) -> None:
        pass

    def __call__(self, batch: Sequence[Content]) -> list[Scan]:
        return [self._scan(content) for content in batch]

    def _scan(self, content: Content) -> Scan:
        image = decode(content).convert("RGB")
        red = [divmod(index, image.width) for index, pixel in enumerate(image.get_flattened_data()) if pixel == (255, 0, 0)]
        rows, columns = [row for row, _ in red], [column for _, column in red]
        whole = Region(0, 0, image.width, image.height)
        if not red:
            return Scan((), whole)
        box = Region(min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        return Scan((Finding("intellectual_property", "red", 900, box),), whole)


def picture(path: Path, colour: str | None = "red") -> Path:
    """Write a white picture of 32 x 32 pixels with a box of a colour, or none, from 8, 8 to 16, 16."""
    image = Image.new("RGB", (32, 32), "white")
    if colour:
        ImageDraw.Draw(image).rectangle((8, 8, 15, 15), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path
