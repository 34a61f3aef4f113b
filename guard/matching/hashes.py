"""Perceptual hashes: fingerprints that stay close when a picture is re-encoded, scaled, recoloured, turned or mirrored.

Each hash is taken of two views, the whole picture and the picture without its plain border, and can be asked for all eight
orientations at once. Hashes are 32 bytes; their distance is the number of differing bits (0 to 256, about 128 between
unrelated pictures).

Sources: PDQ, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm" (Facebook, 2019), through `pdqhash`;
pHash, dHash, wHash and the crop-resistant hash (Steinebach, Liu and Yannikos 2014) through `imagehash`, with 16 x 16 instead
of its default 8 x 8 bits, which on photographs raises the recall at a given rate of false matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from guard.imaging import flatten

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

BITS = 256
MIN_DETAIL = 4.0
"""Least standard deviation of luma (0 to 255) that is hashed; below it every hash is mostly rounding noise."""
_WORKING_SIDE = 512
"""Longer side, in pixels, to which larger pictures are reduced first: finer detail does not reach any hash."""
_MOST_FRAMES = 4
"""Borders inside one another that are cut at most."""
_TRIM_SIDE = 128
"""Longer side, in pixels, of the copy on which a border is looked for."""
_MIN_TRIMMED = 16
"""Least rows and columns, of `_TRIM_SIDE`, that must remain: a speck is no picture."""
_BORDER_TOLERANCE = 20
"""How far, in any channel (0 to 255), a pixel may be from the border's colour and still be border: texture, JPEG ringing."""


@dataclass(frozen=True, slots=True)
class Hash:
    """One hash in eight orientations, the upright one first."""

    orientations: tuple[bytes, ...]
    quality: int
    """0 to 100, how much gradient the picture holds (PDQ's own measure); 100 for hashes that do not measure it."""


class ImageHash(Protocol):
    """A perceptual hash of `BITS` bits."""

    @property
    def name(self) -> str:
        """The name that banks and findings know it by."""

    def __call__(self, image: Image, /) -> Hash:
        """Hash an RGB picture in eight orientations."""


class PDQ:
    """PDQ, 256 bits, all orientations from one transform."""

    name = "pdq"

    def __call__(self, image: Image, /) -> Hash:
        """Hash; the quality is PDQ's."""
        import numpy as np
        import pdqhash

        vectors, quality = pdqhash.compute_dihedral(np.asarray(image))
        return Hash(tuple(_pack(vector) for vector in vectors), int(quality))


class PHash:
    """pHash: signs of the 16 x 16 lowest DCT frequencies against their median."""

    name = "phash"

    def __call__(self, image: Image, /) -> Hash:
        """Hash each orientation of one 64 x 64 reduction."""
        import imagehash

        return Hash(tuple(_pack(imagehash.phash(turned, hash_size=16).hash) for turned in _turns(image, 64)), 100)

    def upright(self, image: Image, /) -> bytes:
        """The hash of the upright picture alone, in an eighth of the time."""
        import imagehash

        return _pack(imagehash.phash(_reduced(image, 64), hash_size=16).hash)


class DHash:
    """dHash: signs of the differences between neighbours on a 17 x 16 grid."""

    name = "dhash"

    def __call__(self, image: Image, /) -> Hash:
        """Hash each orientation of one 128 x 128 reduction."""
        import imagehash

        return Hash(tuple(_pack(imagehash.dhash(turned, hash_size=16).hash) for turned in _turns(image, 128)), 100)


class WHash:
    """wHash: the coarsest 16 x 16 coefficients of a Haar wavelet transform against their median.

    Unrelated pictures may share all bits: for banks that exchange such hashes.
    """

    name = "whash"

    def __call__(self, image: Image, /) -> Hash:
        """Hash each orientation of one 128 x 128 reduction."""
        import imagehash

        return Hash(tuple(_pack(imagehash.whash(turned, hash_size=16).hash) for turned in _turns(image, 128)), 100)


TURNS = (
    "",
    "mirrored",
    "mirrored, turned by 180 degrees",
    "turned by 90 degrees",
    "turned by 180 degrees",
    "turned by 270 degrees",
    "mirrored, turned by 270 degrees",
    "mirrored, turned by 90 degrees",
)
"""What was done to a work, clockwise and after mirroring it left to right, whose hash equals a picture's orientation."""
PDQ_TURNS = (
    "",
    "turned by 90 degrees",
    "turned by 180 degrees",
    "turned by 270 degrees",
    "mirrored, turned by 180 degrees",
    "mirrored",
    "mirrored, turned by 270 degrees",
    "mirrored, turned by 90 degrees",
)
"""The same in the order of PDQ's library."""
HASHES: Mapping[str, ImageHash] = MappingProxyType({hash_.name: hash_ for hash_ in (PDQ(), PHash(), DHash())})
"""Perceptual hashes by name that told works apart when they were measured."""
ALL_HASHES: Mapping[str, ImageHash] = MappingProxyType({**HASHES, WHash.name: WHash()})
"""Every perceptual hash of a whole picture by name."""
CROP_RESISTANT = "crop_resistant"
"""The method that hashes a picture's parts: see `segments`."""
_MOST_SEGMENTS = 12


def segments(image: Image) -> tuple[Hash, ...]:
    """The dHash, 256 bits, of each part of similar brightness, largest first: a part that a crop leaves alone keeps its hash.

    Slower than all other hashes together, and far behind local features: for banks that exchange such hashes.
    """
    import imagehash

    parts: list[Image] = []

    def kept(part: Image) -> imagehash.ImageHash:
        parts.append(part)
        return imagehash.dhash(part, hash_size=16)

    imagehash.crop_resistant_hash(image, hash_func=kept, limit_segments=_MOST_SEGMENTS)
    return tuple(HASHES["dhash"](part) for part in parts)


def views(image: Image) -> dict[str, Image]:
    """What is hashed of a picture, as RGB: `whole`, and `trimmed` of its plain border (the same again where it has none).

    Borders are cut until none is left, so that a mark on paper gives the same inside any number of frames. Empty when the
    picture is flat: there is nothing to recognise.
    """
    rgb = flatten(image)
    if max(rgb.size) > _WORKING_SIDE:
        rgb = rgb.copy()
        rgb.thumbnail((_WORKING_SIDE, _WORKING_SIDE))
    if _detail(rgb) < MIN_DETAIL:
        return {}
    inner = rgb
    for _ in range(_MOST_FRAMES + 1):
        outer, inner = inner, trim(inner)
        if inner.size == outer.size:
            break
    return {"whole": rgb, "trimmed": inner}


def plainness(image: Image) -> float:
    """The share of an RGB picture that is of one brightness, 0 to 1: over 0.3 in drawings and logos, less in most photographs.

    Plain pictures share their structure with others, so their hashes have to be closer to mean anything.
    """
    import numpy as np

    levels = np.asarray(image.convert("L").resize((64, 64)), np.int64).ravel()
    near = np.convolve(np.bincount(levels, minlength=256), np.ones(17, np.int64), "same")
    return float(near.max()) / levels.size


def trim(image: Image) -> Image:
    """Cut an RGB picture to what differs from its border's colour; unchanged when the border is not plain.

    The box is found on a small median-filtered copy, so that noise, texture and compression do not move it.
    """
    import numpy as np
    from PIL import Image, ImageFilter

    step = max(image.size) / _TRIM_SIDE
    size = (max(1, round(image.width / step)), max(1, round(image.height / step)))
    small = image.resize(size, Image.Resampling.BOX) if step > 1 else image
    pixels = np.asarray(small.filter(ImageFilter.MedianFilter(3)), dtype=np.int16)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = np.median(edge, axis=0)
    if np.mean(np.abs(edge - paper).max(axis=1) > _BORDER_TOLERANCE) > 0.05:
        return image
    ink = np.abs(pixels - paper).max(axis=2) > _BORDER_TOLERANCE
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if min(rows.size, columns.size) < _MIN_TRIMMED:
        return image
    across, down = image.width / pixels.shape[1], image.height / pixels.shape[0]
    box = image.crop(
        (round(columns[0] * across), round(rows[0] * down), round((columns[-1] + 1) * across), round((rows[-1] + 1) * down))
    )
    return box if _detail(box) >= MIN_DETAIL else image


def _detail(image: Image) -> float:
    import numpy as np

    return float(np.asarray(image.convert("L"), dtype=np.float32).std())


def turned(image: Image) -> list[Image]:
    """The eight orientations of a picture in `TURNS`'s order, itself first."""
    from PIL import Image

    return [image, *(image.transpose(turn) for turn in Image.Transpose)]


def _turns(image: Image, side: int) -> list[Image]:
    """`turned`, of a picture reduced to a grey square first: cheap, and the same on both sides."""
    return turned(_reduced(image, side))


def _reduced(image: Image, side: int) -> Image:
    from PIL import Image

    return image.convert("L").resize((side, side), Image.Resampling.LANCZOS)


def _pack(bits: np.ndarray[Any, Any]) -> bytes:
    import numpy as np

    return np.packbits(np.asarray(bits, dtype=np.uint8).ravel()).tobytes()
