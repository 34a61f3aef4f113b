"""Invisible watermarks on images by name: `tile` of our own (guard.marks.tile), and the methods of `invisible-watermark`.

The latter carry 32 bits and know no key.

The payload is the last four bytes of the decision's UUIDv7, all of them random. It is a pointer to look up, not a proof: among
65,000 decisions two are likely to share one, and a reader gets bits from any image, marked or not. Every file is read back, by
the library's own decoder and from its encoded bytes, before the mark is called verified.

`dwtDctSvd` (one level of a Haar wavelet on the chroma, largest singular value of each 4 x 4 block quantised) survives noise,
light blur and JPEG down to about quality 75; crops, scaling and turns remove it. `rivaGan` (a network, needs onnxruntime) also
survives stronger JPEG and small crops, takes seconds, and does not work on flat pictures. What does not read back after one
pass of it is embedded again, up to four times, at some 5 dB a pass: of 150 random payloads in a photograph of 256 x 256 pixels
141 took one pass (PSNR 40.4 dB), seven two (35.0) and two three (31.7), and none stayed unmarked (benchmarks/rivagan.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from uuid import UUID

from guard.errors import InputError, ModelError, RegistryError, SettingsError
from guard.imaging import decode, eight_bits, encode_png, open_picture
from guard.keyfile import KEY_SIZE
from guard.marks.key import ADVICE
from guard.marks.tile_marker import TileWatermark, read_tile
from guard.protocols import Marker
from guard.registry import markers
from guard.rules import MarkSpec
from guard.types import Content, Mark, Marking, Modality, Operator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels = NDArray[np.uint8]

Method = Literal["dwtDctSvd", "rivaGan"]
"""Of invisible-watermark. Its `dwtDct` is left out: it does not read its own mark back."""
DEFAULT = "tile"
PAYLOAD_BYTES = 4
MIN_PIXELS = 256 * 256
"""Smaller images are refused by the library."""
MIN_SIDE = 8
"""One block of dwtDctSvd."""
MAX_RIVAGAN_PIXELS = 2_000_000
"""rivaGan takes about 1.5 GB of memory and 20 s a million pixels."""
PASSES: dict[Method, int] = {"dwtDctSvd": 1, "rivaGan": 4}
"""How often a payload is embedded, each time over the last, until it reads back."""
NEAR = 4
"""Wrong bits after a pass, of 32, up to which another one may help; a plain picture has about half of them wrong."""
_loading = threading.Lock()


def payload_of(decision: UUID) -> bytes:
    """The four bytes that mark an output of this decision: the last of its id."""
    return decision.bytes[-PAYLOAD_BYTES:]


def read_watermark(data: bytes, method: Method = "dwtDctSvd") -> bytes:
    """Read four bytes from an image file by a method without a key; from one that bears no mark they are meaningless.

    Raises InputError for a file that is damaged, or of a size that the method does not take; ModelError when the method is not
    installed.
    """
    _load(method)
    image = open_picture(data)
    misfit = _misfit(image, method)
    if misfit:
        raise InputError(misfit)
    return _read(_bgr(_colour(image)), method)


def payload_in(data: bytes, method: str, key: bytes = b"") -> str:
    """The payload in an image file by any method, hexadecimal; empty where `tile` finds none. Raises as the readers do."""
    if method == DEFAULT:
        found = read_tile(data, key)
        return found.payload.hex() if found else ""
    return read_watermark(data, cast("Method", method)).hex()


class Watermark:
    """A `guard.protocols.Marker`. Keeps no state between calls, so threads may share it."""

    kind = "watermark"
    modality = Modality.IMAGE

    def __init__(self, method: Method) -> None:
        self.method: Method = method

    def load(self) -> None:
        """Import the library and, for rivaGan, start its networks. Raises ModelError when something is not installed."""
        _load(self.method)

    def __call__(self, content: Content, marking: Marking, /) -> tuple[Content, Mark]:
        """Mark an image, encode it as PNG and read the mark back from those bytes.

        Transparency and colour profile stay, other metadata goes; grey and palette images become RGB (the mark sits in the
        colours). Raises InputError for a damaged file. An image of a size that the method does not take, or that keeps no
        mark, comes back unchanged, with `verified` false.
        """
        image = decode(content)
        misfit = _misfit(image, self.method)
        if misfit:
            return content, self._failed(misfit)
        self.load()
        payload = payload_of(marking.decision)
        file = self._marked(_colour(image), payload)
        if file is None:
            return content, self._failed("the mark could not be read back: the image is too plain to carry it")
        marked = Content(Modality.IMAGE, file, "image/png", content.stage, content.origin, content.request)
        return marked, Mark(self.kind, self.method, payload.hex(), verified=True)

    def _marked(self, colour: Image, payload: bytes) -> bytes | None:
        """The file with the mark, which was read back from it; None where the image does not keep it."""
        pixels = _bgr(colour)
        for _ in range(PASSES[self.method]):
            pixels = _embed(pixels, payload, self.method)
            file = encode_png(_with_pixels(colour, pixels))
            wrong = int.from_bytes(read_watermark(file, self.method)) ^ int.from_bytes(payload)
            if not wrong:
                return file
            if wrong.bit_count() > NEAR:
                break
        return None

    def reread(self, content: Content, mark: Mark, /) -> str:
        """Read the file once more."""
        found = read_watermark(content.file, self.method).hex()
        return "" if found == mark.payload else "the mark can no longer be read from the file"

    def _failed(self, error: str) -> Mark:
        return Mark(self.kind, self.method, "", verified=False, error=error)


@markers.register("watermark")
def watermark(*, method: Literal["tile", "dwtDctSvd", "rivaGan"] = "tile", _operator: Operator | None = None) -> Marker:
    """Mark images invisibly with the end of the decision's id.

    Raises RegistryError for an unknown method, SettingsError for `tile` when the operator is known and has no watermark key.
    """
    if method == "tile":
        if _operator is not None and len(_operator.watermark_key) != KEY_SIZE:
            size = len(_operator.watermark_key)
            raise SettingsError(
                f"found a watermark key of {size} bytes, expected {KEY_SIZE} for the method 'tile'",
                advice="Give one: Guard(…, operator=Operator(watermark_key=make_watermark_key(path))). " + ADVICE,
            )
        return TileWatermark(_operator.watermark_key if _operator else None)
    if method not in get_args(Method):
        raise RegistryError(f"watermark: found method {method!r}, expected one of: {', '.join((DEFAULT, *get_args(Method)))}")
    return Watermark(method)


def keyed(marks: Iterable[MarkSpec]) -> bool:
    """Whether any of these marks needs the watermark key."""
    return any(
        mark.use == "text_watermark" or (mark.use == "watermark" and mark.parameters.get("method", DEFAULT) == DEFAULT)
        for mark in marks
    )


def _misfit(image: Image, method: Method) -> str:
    """Why an image cannot be marked because of its size; empty when it can."""
    pixels = image.width * image.height
    found = f"found an image of {image.width} x {image.height} pixels"
    if pixels < MIN_PIXELS or min(image.size) < MIN_SIDE:
        return f"{found}, the watermark needs at least {MIN_PIXELS} in all and {MIN_SIDE} each way"
    if method == "rivaGan" and pixels > MAX_RIVAGAN_PIXELS:
        return f"{found}, rivaGan takes at most {MAX_RIVAGAN_PIXELS}"
    return ""


def _load(method: Method) -> None:
    try:
        from imwatermark import WatermarkEncoder

        if method == "rivaGan":
            with _loading:
                WatermarkEncoder.loadModel()
    except ImportError as error:
        raise ModelError(
            f"watermark method {method} needs {error.name or 'a library'}, which cannot be imported",
            advice="Install genguard again; OpenCV also needs the system's libGL and libglib.",
        ) from error


def _embed(bgr: Pixels, payload: bytes, method: Method) -> Pixels:
    import numpy as np
    from imwatermark import WatermarkEncoder

    if method == "dwtDctSvd":
        from guard.marks import dwt_dct_svd

        return dwt_dct_svd.embed(bgr, payload)
    encoder = WatermarkEncoder()
    encoder.set_watermark("bytes", payload)
    return np.asarray(encoder.encode(bgr, method), dtype=np.uint8)


def _read(bgr: Pixels, method: Method) -> bytes:
    from imwatermark import WatermarkDecoder

    return bytes(WatermarkDecoder("bytes", 8 * PAYLOAD_BYTES).decode(bgr, method))


def _colour(image: Image) -> Image:
    """The image as RGB, or RGBA where it has transparency."""
    plain = eight_bits(image)
    wanted = "RGBA" if plain.has_transparency_data else "RGB"
    if plain.mode == wanted:
        return plain
    colour = plain.convert(wanted)
    if plain.mode in {"1", "L", "LA"}:
        colour.info.pop("icc_profile", None)  # a profile of greys does not fit
    return colour


def _bgr(colour: Image) -> Pixels:
    import numpy as np

    return np.ascontiguousarray(np.asarray(colour, dtype=np.uint8)[..., 2::-1])


def _with_pixels(colour: Image, bgr: Pixels) -> Image:
    """The image with other colours, its transparency and colour profile kept."""
    import numpy as np
    from PIL import Image

    planes: list[Any] = [bgr[..., ::-1]]
    if colour.mode == "RGBA":
        planes.append(np.asarray(colour)[..., 3:])
    marked = Image.fromarray(np.ascontiguousarray(np.concatenate(planes, axis=2)))
    if "icc_profile" in colour.info:
        marked.info["icc_profile"] = colour.info["icc_profile"]
    return marked
