"""Draws digits as pen strokes, for training the bundled GAN: no font and no outside data.

A digit is one or more curves through a few control points in the unit square (x to the right, y down). Each drawing jitters the
points, slants, turns, scales and shifts the whole, and takes another thickness of the pen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 28

STROKES: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = (
    (
        (
            (0.5, 0.08),
            (0.24, 0.24),
            (0.2, 0.55),
            (0.32, 0.88),
            (0.56, 0.92),
            (0.78, 0.7),
            (0.78, 0.36),
            (0.64, 0.12),
            (0.5, 0.08),
        ),
    ),
    (((0.34, 0.24), (0.46, 0.16), (0.54, 0.08), (0.53, 0.5), (0.52, 0.92)),),
    (((0.24, 0.28), (0.36, 0.1), (0.6, 0.08), (0.74, 0.26), (0.64, 0.5), (0.4, 0.72), (0.22, 0.9), (0.5, 0.89), (0.8, 0.9)),),
    (
        ((0.26, 0.16), (0.5, 0.07), (0.72, 0.22), (0.64, 0.42), (0.44, 0.47)),
        ((0.44, 0.47), (0.7, 0.54), (0.76, 0.76), (0.52, 0.93), (0.24, 0.82)),
    ),
    (((0.58, 0.08), (0.4, 0.36), (0.2, 0.62), (0.5, 0.63), (0.84, 0.62)), ((0.64, 0.34), (0.63, 0.64), (0.62, 0.94))),
    (
        ((0.74, 0.1), (0.54, 0.1), (0.34, 0.11)),
        ((0.34, 0.11), (0.31, 0.28), (0.28, 0.46), (0.52, 0.4), (0.74, 0.54), (0.72, 0.8), (0.48, 0.93), (0.24, 0.83)),
    ),
    (
        (
            (0.68, 0.08),
            (0.42, 0.24),
            (0.26, 0.54),
            (0.3, 0.84),
            (0.52, 0.93),
            (0.73, 0.78),
            (0.68, 0.56),
            (0.46, 0.51),
            (0.28, 0.68),
        ),
    ),
    (((0.22, 0.12), (0.5, 0.11), (0.78, 0.1), (0.62, 0.4), (0.48, 0.66), (0.4, 0.93)),),
    (
        (
            (0.52, 0.48),
            (0.3, 0.36),
            (0.32, 0.14),
            (0.52, 0.07),
            (0.7, 0.16),
            (0.68, 0.36),
            (0.5, 0.48),
            (0.28, 0.64),
            (0.3, 0.86),
            (0.52, 0.93),
            (0.74, 0.84),
            (0.74, 0.64),
            (0.52, 0.48),
        ),
    ),
    (
        (
            (0.72, 0.34),
            (0.56, 0.48),
            (0.34, 0.42),
            (0.28, 0.22),
            (0.46, 0.08),
            (0.68, 0.16),
            (0.73, 0.4),
            (0.68, 0.68),
            (0.56, 0.93),
        ),
    ),
)


def curve(points: NDArray[np.float64], pieces: int = 10) -> NDArray[np.float64]:
    """Points along a Catmull-Rom spline through the control points, shape (M, 2)."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    a, b, c, d = ends[:-3, None], ends[1:-2, None], ends[2:-1, None], ends[3:, None]
    t = np.linspace(0, 1, pieces)[None, :, None]
    path = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.asarray(path.reshape(-1, 2))


def draw(digit: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One digit, shape (28, 28), ink 1.0 on paper 0.0."""
    slant, turn = rng.normal(0.08, 0.12), rng.normal(0, 0.07)
    width, height = rng.uniform(14, 18), rng.uniform(18.5, 21.5)
    affine = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ np.array([[1, 0], [-slant, 1]])
    shift = SIZE / 2 + rng.normal(0, 0.6, size=2)
    paths = []
    for stroke in STROKES[digit]:
        points = np.asarray(stroke) + rng.normal(0, 0.018, size=(len(stroke), 2))
        paths.append(((curve(points) - 0.5) @ affine) * (width, height) + shift)
    path = np.concatenate(paths)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    distance = np.sqrt(((columns[..., None] - path[:, 0]) ** 2 + (rows[..., None] - path[:, 1]) ** 2).min(axis=-1))
    return np.clip(rng.uniform(1.0, 1.55) - distance + 0.5, 0, 1).astype(np.float32)


def dataset(count: int, seed: int) -> NDArray[np.float32]:
    """`count` drawings, the ten digits in turn, shape (count, 784), in [-1, 1]."""
    rng = np.random.default_rng(seed)
    return np.stack([draw(index % 10, rng).reshape(-1) for index in range(count)]) * 2 - 1
