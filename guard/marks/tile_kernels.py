"""Loops of the tile watermark, compiled by numba when this module is first imported, then kept in numba's cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from guard.compiled import compiled

_PLANE, _WAVES, _MAP = types.float32[:, ::1], types.float32[::1], types.float64[::1]
_DIRECTIONS = np.array([[1, 0, 0, 1], [0, -1, 1, 0], [1, 0, 0, -1], [0, 1, 1, 0]], dtype=np.float64)
"""Scaling, turning, stretching, stretching askew."""


@compiled(types.uint8[:, ::1](types.float64[::1], types.float64[:, :, ::1], types.int64))
def viterbi(soft: Any, branches: Any, paths: Any) -> Any:
    """The input bits of the likeliest paths from state 0 to state 0, best first, (paths, steps).

    `soft`: (3 steps,); `branches`: signs that leave a state with a bit, (states, 2, 3); `paths`: 1 to 255, no more than exist.
    """
    states = branches.shape[0]
    steps, top = len(soft) // 3, states // 2
    reached = np.full((states, paths), -np.inf)
    reached[0, 0] = 0.0
    came = np.zeros((steps, states, paths), np.uint8)
    rank = np.zeros((steps, states, paths), np.uint8)
    for step in range(steps):
        ahead = np.full((states, paths), -np.inf)
        for after in range(states):
            bit, even = after // top, 2 * after % states
            first, second = 0.0, 0.0
            for place in range(3):
                first += soft[3 * step + place] * branches[even, bit, place]
                second += soft[3 * step + place] * branches[even + 1, bit, place]
            left, right = 0, 0  # both lists are sorted, and so is what they are merged to
            for path in range(paths):
                one, other = reached[even, left] + first, reached[even + 1, right] + second
                if one == -np.inf and other == -np.inf:
                    break
                if one >= other:
                    ahead[after, path], rank[step, after, path] = one, left
                    left += 1
                else:
                    ahead[after, path], rank[step, after, path], came[step, after, path] = other, right, 1
                    right += 1
        reached = ahead
    bits = np.zeros((paths, steps), np.uint8)
    for path in range(paths):
        state, place = 0, path
        for step in range(steps - 1, -1, -1):
            bits[path, step] = state // top
            odd = came[step, state, place]
            place, state = rank[step, state, place], 2 * state % states + odd
    return bits


@compiled(types.float32[::1](_PLANE, _WAVES, _WAVES, _PLANE, types.int64))
def scan(magnitudes: Any, x: Any, y: Any, maps: Any, fewest: Any) -> Any:
    """Sum of the magnitudes at the points of each map, over the root of their number, (maps,).

    0 where less than `fewest` points lie inside. `maps`: (maps, 4), from waves to points of the transform.
    """
    side, middle = magnitudes.shape[0], magnitudes.shape[0] // 2 + 0.5
    scores = np.zeros(len(maps), np.float32)
    for row in range(len(maps)):
        total, count = 0.0, 0
        for wave in range(len(x)):
            across = int(np.floor(maps[row, 0] * x[wave] + maps[row, 1] * y[wave] + middle))
            down = int(np.floor(maps[row, 2] * x[wave] + maps[row, 3] * y[wave] + middle))
            if 0 <= across < side and 0 <= down < side:
                total += magnitudes[down, across]
                count += 1
        if count >= fewest:
            scores[row] = total / np.sqrt(count)
    return scores


@compiled(types.float64(_PLANE, _WAVES, _WAVES, _MAP, types.int64))
def between(magnitudes: Any, x: Any, y: Any, matrix: Any, fewest: Any) -> Any:
    """The same of one map, with magnitudes between the points interpolated."""
    side, middle = magnitudes.shape[0], magnitudes.shape[0] // 2
    total, count = 0.0, 0
    for wave in range(len(x)):
        across = matrix[0] * x[wave] + matrix[1] * y[wave] + middle
        down = matrix[2] * x[wave] + matrix[3] * y[wave] + middle
        left, top = int(np.floor(across)), int(np.floor(down))
        if 0 <= left < side - 1 and 0 <= top < side - 1:
            right, low = across - left, down - top
            upper = magnitudes[top, left] * (1 - right) + magnitudes[top, left + 1] * right
            lower = magnitudes[top + 1, left] * (1 - right) + magnitudes[top + 1, left + 1] * right
            total += upper * (1 - low) + lower * low
            count += 1
    return total / np.sqrt(count) if count >= fewest else 0.0


@compiled(_MAP(_PLANE, _WAVES, _WAVES, _MAP, types.int64))
def climb(magnitudes: Any, x: Any, y: Any, matrix: Any, fewest: Any) -> Any:
    """The map at the local maximum that is reached from `matrix` by ever smaller steps, (4,)."""
    best = between(magnitudes, x, y, matrix, fewest)
    step = 0.006 * np.abs(matrix).max()
    for _ in range(5):
        for _ in range(8):
            moved = False
            for way in range(8):
                other = matrix + _DIRECTIONS[way // 2] * (step if way % 2 == 0 else -step)
                score = between(magnitudes, x, y, other, fewest)
                if score > best:
                    best, matrix, moved = score, other, True
            if not moved:
                break
        step /= 2
    return matrix


@compiled(types.int64[::1](_PLANE))
def densest(worth: Any) -> Any:
    """The rectangle of the largest sum: first row, first column, row after the last, column after the last.

    All 0 where no cell is worth anything. Takes rows squared times columns steps.
    """
    rows, columns = worth.shape
    found = np.zeros(4, np.int64)
    most = 0.0
    for top in range(rows):
        held = np.zeros(columns, np.float64)
        for bottom in range(top, rows):
            total, start = 0.0, 0
            for column in range(columns):
                held[column] += worth[bottom, column]
                if total <= 0.0:
                    total, start = 0.0, column
                total += held[column]
                if total > most:
                    most = total
                    found[0], found[1], found[2], found[3] = top, start, bottom + 1, column + 1
    return found


@compiled(types.complex64[:, :, ::1](types.complex64[:, ::1], _WAVES, _WAVES, types.complex64[::1], _PLANE, types.int64))
def gathered(transform: Any, x: Any, y: Any, phases: Any, maps: Any, size: Any) -> Any:
    """The values of a transform, its origin in the middle, at the points of each map, as half the spectra of real tiles.

    Shape (maps, size, size / 2 + 1), waves across by waves down, none of which is below 0; each is multiplied by its phase.
    Values between the points of the transform are interpolated, those outside are 0. `maps`: (maps, 4), from waves to points.
    """
    side, middle = transform.shape[0], transform.shape[0] // 2
    found = np.zeros((len(maps), size, size // 2 + 1), np.complex64)
    for row in range(len(maps)):
        for wave in range(len(x)):
            across = maps[row, 0] * x[wave] + maps[row, 1] * y[wave] + middle
            down = maps[row, 2] * x[wave] + maps[row, 3] * y[wave] + middle
            left, top = int(np.floor(across)), int(np.floor(down))
            if 0 <= left < side - 1 and 0 <= top < side - 1:
                right, low = np.float32(across - left), np.float32(down - top)
                one = np.float32(1)
                upper = transform[top, left] * (one - right) + transform[top, left + 1] * right
                lower = transform[top + 1, left] * (one - right) + transform[top + 1, left + 1] * right
                twice = np.float32(1 if y[wave] > 0 else 2)  # the other half of these is not implied
                found[row, int(x[wave]) % size, int(y[wave])] = (upper * (one - low) + lower * low) * phases[wave] * twice
    return found
