"""The IPTC digital source type in a file's XMP: one term that tells readers of photo metadata that a model made the image.

IPTC Photo Metadata Standard, Extension schema: `Iptc4xmpExt:DigitalSourceType` with a term of the IPTC NewsCodes.
"""

from __future__ import annotations

from dataclasses import replace

from guard.marks import xmp
from guard.marks.containers import read_xmp, write_xmp
from guard.protocols import Marker
from guard.registry import markers
from guard.types import Content, Mark, Marking, Modality

KIND = "iptc"
PROPERTY = xmp.Property("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "Iptc4xmpExt", "DigitalSourceType")
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{TERMS}trainedAlgorithmicMedia"


def read_source_type(data: bytes) -> str | None:
    """The digital source type of an image file; None when it has none. Raises InputError for a damaged file."""
    return xmp.value_of(read_xmp(data), PROPERTY)


class SourceType:
    """A `guard.protocols.Marker` for image files. Keeps no state between calls."""

    kind = KIND
    modality = Modality.IMAGE

    def load(self) -> None:
        """Nothing is needed."""

    def __call__(self, content: Content, _marking: Marking, /) -> tuple[Content, Mark]:
        """Write the term and read it back. Raises InputError for a file that cannot take it."""
        file = write_xmp(content.file, xmp.put(read_xmp(content.file), PROPERTY, GENERATED))
        marked, mark = replace(content, data=file), Mark(self.kind, "xmp", "", verified=True)
        why = self.reread(marked, mark)
        return (content, replace(mark, verified=False, error=why)) if why else (marked, mark)

    def reread(self, content: Content, _mark: Mark, /) -> str:
        """Read the file's own term."""
        same = read_source_type(content.file) == GENERATED
        return "" if same else "the digital source type cannot be read from the file as it was written"


@markers.register(KIND)
def iptc() -> Marker:
    """Say in the file's IPTC metadata that a trained model made it."""
    return SourceType()
