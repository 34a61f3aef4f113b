"""The error correction of the tile watermark: eight bytes to signs and back from soft values.

Four Reed-Solomon bytes (`reedsolo`, over GF(256)) tell whether what was read is a payload at all, and mend one wrong byte where
the pilots leave no doubt that a mark is there. Around them lies a convolutional code of rate 1/3 and constraint length 9
(generators 557, 663, 711 octal: Larsen, "Short convolutional codes with maximal free distance for rates 1/2, 1/3 and 1/4", IEEE
Trans. Inf. Theory 19, 1973), read by Viterbi's algorithm with soft decisions, which is worth about 2 dB against hard ones, and
where need be with a list of the likeliest words (Seshadri and Sundberg, "List Viterbi decoding algorithms with applications",
IEEE Trans. Communications 42, 1994).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PAYLOAD_BYTES = 8
PARITY_BYTES = 4
_GENERATORS = (0o557, 0o663, 0o711)
_MEMORY = 8
_STATES = 1 << _MEMORY
_STEPS = 8 * (PAYLOAD_BYTES + PARITY_BYTES) + _MEMORY
SIGNS = _STEPS * len(_GENERATORS)
"""How many signs a payload becomes."""


def encode(payload: bytes) -> Floats:
    """Signs (+1 for a zero bit, -1 for a one), shape (SIGNS,). Raises ValueError unless there are eight bytes."""
    import numpy as np

    if len(payload) != PAYLOAD_BYTES:
        raise ValueError(f"found a payload of {len(payload)} bytes, expected {PAYLOAD_BYTES}")
    bits = np.unpackbits(np.frombuffer(bytes(_reed_solomon().encode(payload)), dtype=np.uint8))
    return _signs([*bits, *[0] * _MEMORY])  # the end is known, so that the last bits are as safe as the others


def decode(soft: Floats, *, mend: bool = False, paths: int = 1) -> bytes | None:
    """The payload that soft values (SIGNS of them, positive for +1, larger for surer) say; None when they say none.

    `paths`: of how many of the likeliest words the first is taken that is one; noise passes once in 2**32 / `paths` tries.
    Reading sixteen is worth about half a decibel. With `mend` one wrong byte of the likeliest word's twelve is corrected, and
    noise passes once in 1.4 million.
    """
    import numpy as np
    from reedsolo import ReedSolomonError

    code = _reed_solomon()
    words = [np.packbits(bits[: 8 * (PAYLOAD_BYTES + PARITY_BYTES)]).tobytes() for bits in _paths(soft, paths)]
    for word in words:
        if bytes(code.encode(word[:PAYLOAD_BYTES])) == word:
            return word[:PAYLOAD_BYTES]
    if not mend:
        return None
    try:
        mended, _, errors = code.decode(words[0])
    except ReedSolomonError:
        return None
    return bytes(mended) if len(errors) == 1 else None


def likeliest(soft: Floats) -> Floats:
    """The signs, (SIGNS,), of the likeliest word, whether or not it is a payload: most of them are right before all are."""
    return _signs(_paths(soft, 1)[0])


def _paths(soft: Floats, count: int) -> NDArray[np.uint8]:
    import numpy as np

    from guard.marks.tile_kernels import viterbi

    found: NDArray[np.uint8] = viterbi(np.ascontiguousarray(soft, dtype=np.float64), _branches(), count)
    return found


def _signs(bits: Sequence[int] | NDArray[np.uint8]) -> Floats:
    """What the convolutional code makes of bits, the last of them zeros."""
    import numpy as np

    branches = _branches()
    signs = np.empty((_STEPS, len(_GENERATORS)))
    state = 0
    for step in range(_STEPS):
        bit = int(bits[step])
        signs[step] = branches[state, bit]
        state = (bit << _MEMORY | state) >> 1
    return signs.ravel()


@cache
def _reed_solomon() -> Any:
    from reedsolo import RSCodec

    return RSCodec(PARITY_BYTES)


@cache
def _branches() -> Floats:
    """Signs that leave each state with each input bit, shape (states, 2, 3)."""
    import numpy as np

    found = np.empty((_STATES, 2, len(_GENERATORS)))
    for state in range(_STATES):
        for bit in (0, 1):
            register = bit << _MEMORY | state
            found[state, bit] = [1 - 2 * ((register & one).bit_count() & 1) for one in _GENERATORS]
    return found
