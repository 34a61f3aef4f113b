"""The keyed pattern of the tile watermark: which waves a tile is made of, and what each of them says.

A tile is a sum of waves that repeat with it: the points of its discrete Fourier transform inside a ring of middle frequencies.
Each wave has a phase of four; some are pilots whose phase the key alone fixes, by which a reader finds place, orientation and
strength; the others carry the signs of the payload, each sign several times, mixed by the key. Without the key pilots and signs
are noise: nobody else can read a mark or make one, though a patient reader of many marked images may see that there is one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from guard.marks.tile_code import SIGNS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Waves = NDArray[np.complex128]

_BANDS = 6
"""Rings in which the strength of the mark is measured by their pilots."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The size of a tile in pixels, its ring in waves a tile, and the share of pilots."""

    name: str
    tile: int
    inner: float
    outer: float
    pilots: float
    canonical: int
    """Shorter side that images are brought to; 0: they keep their own."""


LARGE = Layout("large", 128, 6.5, 22.0, 0.25, 512)
"""Four tiles along the shorter side."""
SMALL = Layout("small", 64, 3.5, 20.0, 0.2, 0)
"""For images whose shorter side is below `SMALL_BELOW`: one tile may be all there is, so waves go up higher."""
SMALL_BELOW = 256
LEAST_SIDE = 64


class Pattern:
    """The waves of one layout under one key. Immutable."""

    def __init__(self, key: bytes, layout: Layout) -> None:
        """`key`: 32 secret bytes."""
        import numpy as np

        self.layout = layout
        half = layout.tile // 2
        across, down = np.meshgrid(np.arange(-half, half), np.arange(-half, half))
        radius = np.hypot(across, down)
        inside = ((down > 0) | ((down == 0) & (across > 0))) & (radius >= layout.inner) & (radius <= layout.outer)
        order = _shuffled(key, f"{layout.name}/waves", int(inside.sum()))
        self.x, self.y, self.radius = across[inside][order], down[inside][order], radius[inside][order]
        """Waves a tile, across and down, (waves,); pilots first."""
        self.count = len(self.x)
        self.pilots = round(self.count * layout.pilots)
        turns = _numbers(key, f"{layout.name}/phases", self.count) % 4
        self._phase = np.exp(1j * (np.pi / 4 + np.pi / 2 * turns))
        values = 2 * (self.count - self.pilots)
        self._chip = np.where(_numbers(key, f"{layout.name}/chips", values) & 1, 1.0, -1.0)
        self._sign = self._dealt(key, values)

    def _dealt(self, key: bytes, values: int) -> Any:
        """Which sign each value carries: every sign at all radii alike, since images are lost from the fine waves first."""
        import numpy as np

        rounds = [_shuffled(key, f"{self.layout.name}/signs/{turn}", SIGNS) for turn in range(-(-values // SIGNS))]
        dealt = np.empty(values, dtype=np.int64)
        dealt[np.argsort(np.repeat(self.radius[self.pilots :], 2), kind="stable")] = np.concatenate(rounds)[:values]
        return dealt

    def symbols(self, signs: Floats) -> Waves:
        """What each wave has to say, (waves,), each of magnitude one."""
        symbols: Waves = self._phase.copy()
        values = signs[self._sign] * self._chip / 2**0.5
        symbols[self.pilots :] = values[0::2] + 1j * values[1::2]
        return symbols

    def tile(self, amplitudes: Waves) -> Floats:
        """The tile that has these waves, (tile, tile)."""
        import numpy as np
        from scipy import fft

        size = self.layout.tile
        spectrum = np.zeros((size, size), dtype=np.complex128)
        spectrum[self.y % size, self.x % size] = amplitudes
        spectrum[-self.y % size, -self.x % size] = np.conj(amplitudes)
        found: Floats = fft.ifft2(spectrum, workers=1).real * size
        return found

    def pilot_points(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.complex64]]:
        """Where the pilots stand, across and down, and the conjugates of their phases, (pilots,) each."""
        import numpy as np

        first = slice(self.pilots)
        return (
            self.x[first].astype(np.float32),
            self.y[first].astype(np.float32),
            np.conj(self._phase[first]).astype(np.complex64),
        )

    def shifts(self, spectra: Waves) -> list[tuple[Waves, float]]:
        """For each of several readings, (readings, waves): the waves when the tile starts where the pilots say, and the surety.

        The surety is the height of the correlation with the pilots over its standard deviation: below 5 for noise.
        """
        import numpy as np
        from scipy import fft

        size, first = self.layout.tile, slice(self.pilots)
        grids = np.zeros((len(spectra), size, size), dtype=np.complex64)
        grids[:, self.y[first] % size, self.x[first] % size] = spectra[:, first] * np.conj(self._phase[first])
        # Twice the real part of half a spectrum is the transform of the whole one.
        likeness = fft.ifft2(grids, axes=(1, 2), workers=1, overwrite_x=True).real.reshape(len(spectra), -1)
        places, spread = likeness.argmax(axis=1), likeness.std(axis=1)
        found = []
        for waves, place, plane, deviation in zip(spectra, places, likeness, spread, strict=True):
            down, across = divmod(int(place), size)
            turned = waves * np.exp(2j * np.pi * (self.y * down + self.x * across) / size)
            found.append((turned, float(plane[place] / max(float(deviation), 1e-12))))
        return found

    def soft(self, waves: Waves, noise: Floats, guess: Floats | None = None) -> Floats:
        """Soft values of the signs, (SIGNS,). `noise`: power of what is not the mark, by wave.

        `guess`: signs that are mostly right, so that all waves tell how strong the mark is, not the pilots alone.
        """
        import numpy as np

        known = slice(self.pilots) if guess is None else slice(self.count)
        said = self._phase if guess is None else self.symbols(guess)
        seen, radius = (waves[known] * np.conj(said[known])).real, self.radius[known]
        edges = np.quantile(radius, np.linspace(0, 1, _BANDS + 1))
        bands = np.clip(np.searchsorted(edges, radius, side="right") - 1, 0, _BANDS - 1)
        held = np.maximum(np.bincount(bands, minlength=_BANDS), 1)
        gains = np.maximum(np.bincount(bands, seen, _BANDS) / held, 0.0)
        middles = np.bincount(bands, radius, _BANDS) / held
        gain = np.interp(self.radius[self.pilots :], middles, gains)
        weighted = waves[self.pilots :] * gain / np.maximum(noise[self.pilots :], 1e-9)
        values = np.empty(2 * len(weighted))
        values[0::2], values[1::2] = weighted.real, weighted.imag
        return np.bincount(self._sign, values * self._chip, SIGNS).astype(np.float64, copy=False)


@lru_cache(maxsize=16)
def pattern(key: bytes, layout: Layout) -> Pattern:
    """The pattern of a layout under a key, made once."""
    return Pattern(key, layout)


def _numbers(key: bytes, purpose: str, count: int) -> Any:
    """Keyed numbers of 32 bits, (count,): SHAKE-256 of key and purpose, so they stay the same whatever libraries do."""
    import numpy as np

    stream = hashlib.shake_256(b"genguard/tile/1\0" + key + b"\0" + purpose.encode()).digest(4 * count)
    return np.frombuffer(stream, dtype="<u4").astype(np.int64)


def _shuffled(key: bytes, purpose: str, count: int) -> Any:
    """A keyed order of 0 to count - 1."""
    import numpy as np

    return np.argsort(_numbers(key, purpose, count), kind="stable")
