"""The visible label: a plate with words on images, a line of its own in texts.

An image label is recognised again in the final file pixel by pixel, a text label as its first or last line. Images that are
labelled are written as PNG; transparency, colour profile and 16-bit greys stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from guard.errors import RegistryError
from guard.imaging import decode, encode_png
from guard.marks import font, plate
from guard.marks.wording import Wording
from guard.protocols import Marker
from guard.registry import markers
from guard.types import Content, Mark, Marking, Modality

Position = Literal["start", "end", "top-left", "top", "top-right", "bottom-left", "bottom", "bottom-right"]
_PLACES = {"start": "top-left", "end": "bottom-right"}
KIND = "label"


class ImageLabel:
    """A `guard.protocols.Marker`. Keeps no state between calls."""

    kind = KIND
    modality = Modality.IMAGE

    def __init__(self, profile: str, position: Position, wording: Wording, font_name: str) -> None:
        """Raises ValueError for a font that cannot be read, or that lacks a character of the wording."""
        self.profile = profile
        self.place = _PLACES.get(position, position)
        self.wording = wording
        self.file = font.font_file(font_name)
        lacking = font.missing(wording.characters(), self.file)
        if lacking:
            raise ValueError(f"found {lacking!r} in the label's text, expected characters that the font {self.file.name} has")

    def load(self) -> None:
        """Open the font. Raises OSError when FreeType cannot read it."""
        font.load(self.file, plate.LEAST_EM)

    def __call__(self, content: Content, _marking: Marking, /) -> tuple[Content, Mark]:
        """Draw the label and find it again in the encoded file.

        Raises InputError for a damaged file. An image that the label does not fit on comes back unchanged.
        """
        image = decode(content)
        laid = self._laid(content, image.size)
        mark = self._mark(content)
        if laid is None:
            found = f"found an image of {image.width} x {image.height} pixels"
            return content, replace(mark, verified=False, error=f"{found}, on which the label cannot be read")
        file = encode_png(plate.draw(image, laid))
        labelled = replace(content, data=file, media_type="image/png")
        why = self.reread(labelled, mark)
        return (content, replace(mark, verified=False, error=why)) if why else (labelled, mark)

    def reread(self, content: Content, _mark: Mark, /) -> str:
        """Compare the pixels where the label has to be."""
        image = decode(content)
        laid = self._laid(content, image.size)
        return "" if laid is not None and plate.shows(image, laid) else "the label is not on the image as it was drawn"

    def _laid(self, content: Content, size: tuple[int, int]) -> plate.Plate | None:
        ladder = self.wording.image[self.wording.language(content.request.language)]
        return plate.lay_out(size, ladder, self.place, self.wording.profile.share, self.file)

    def _mark(self, content: Content) -> Mark:
        language = self.wording.language(content.request.language)
        return Mark(self.kind, f"{self.profile}/{self.place}/{language}", "", verified=True)


class TextLabel:
    """A `guard.protocols.Marker`. Keeps no state between calls."""

    kind = KIND
    modality = Modality.TEXT

    def __init__(self, profile: str, position: Position, wording: Wording) -> None:
        self.profile = profile
        self.first = position == "start" or position.startswith("top")
        self.wording = wording

    def load(self) -> None:
        """Nothing is needed."""

    def __call__(self, content: Content, _marking: Marking, /) -> tuple[Content, Mark]:
        """Add the line where it is not there yet."""
        language = self.wording.language(content.request.language)
        mark = Mark(self.kind, f"{self.profile}/{'start' if self.first else 'end'}/{language}", "", verified=True)
        if not self.reread(content, mark):
            return content, mark
        line, text = self.wording.text[language], content.text
        parts = (line, text) if self.first else (text.rstrip("\n"), line)
        return replace(content, data="\n\n".join(part for part in parts if part)), mark

    @property
    def longest(self) -> int:
        """Characters of the longest line that it puts in."""
        return max(map(len, self.wording.text.values()))

    def lead(self, text: str, language: str) -> str:
        """What it puts in front of a text that begins like this; empty for a label at the end, or one that is there."""
        line = self.wording.text[self.wording.language(language)]
        there = text.strip().split("\n")[0].strip() == line
        return "" if there or not self.first else f"{line}\n\n"

    def reread(self, content: Content, _mark: Mark, /) -> str:
        """Look at the first or last line that is not empty."""
        line = self.wording.text[self.wording.language(content.request.language)]
        lines = content.text.strip().split("\n")
        return "" if lines[0 if self.first else -1].strip() == line else "the label is not where it has to be in the text"


@markers.register(KIND)
def label(
    *,
    profile: Literal["gb45438", "eu", "plain"] = "plain",
    position: Position = "end",
    text: Mapping[str, str] | None = None,
    language: str = "",
    font: str = "",
    _modality: Modality = Modality.IMAGE,
) -> Marker:
    """Say on the output itself that it was generated. Raises RegistryError for settings that do not make a label."""
    try:
        wording = Wording(profile, text, language)
        if _modality is Modality.TEXT:
            return TextLabel(profile, position, wording)
        return ImageLabel(profile, position, wording, font)
    except ValueError as error:
        raise RegistryError(str(error)) from None
