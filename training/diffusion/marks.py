"""Draws marks: coloured emblems of fourteen motifs on light paper, and six protected works with fixed recipes.

A mark is a list of filled polygons in the unit square (x to the right, y down), so it can be drawn at any size. Ordinary marks
take everything from a seeded generator: form, colouring, place, size, tilt, paper. The works are fixed.

    python training/diffusion/marks.py              writes the works at full size to training/diffusion/works/
    python training/diffusion/marks.py --sheet F    writes a sheet of works and ordinary marks to look at
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Colour = tuple[int, int, int]

WORKS = Path(__file__).parent / "works"
WORK_SIZE = 512
SUPERSAMPLING = 4

INKS: tuple[Colour, ...] = (
    (26, 42, 92),
    (160, 32, 44),
    (20, 96, 78),
    (196, 104, 24),
    (92, 38, 112),
    (36, 40, 48),
    (14, 116, 144),
    (120, 72, 36),
)
ACCENTS: tuple[Colour, ...] = (
    (236, 180, 48),
    (226, 92, 70),
    (104, 178, 150),
    (120, 160, 214),
    (214, 150, 186),
    (170, 184, 92),
    (150, 150, 160),
)
PAPERS: tuple[Colour, ...] = (
    (246, 242, 232),
    (238, 242, 246),
    (244, 244, 240),
    (248, 238, 228),
    (236, 244, 236),
    (243, 238, 246),
)


@dataclass
class Drawing:
    """Filled polygons over paper, first drawn first."""

    paper: Colour
    texture: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """Amplitude (grey levels), direction, frequency and phase of the light shading of the paper."""
    shapes: list[tuple[Points, Colour]] = field(default_factory=list)

    def polygon(self, points: object, colour: Colour) -> None:
        self.shapes.append((np.asarray(points, dtype=np.float64), colour))

    def disc(self, x: float, y: float, radius: float, colour: Colour, *, squash: float = 1.0) -> None:
        self.polygon(arc(x, y, radius, 0, 2 * np.pi, squash), colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: object, width: float, colour: Colour) -> None:
        """A thick line through the points, with round ends and joints."""
        path = np.asarray(points, dtype=np.float64)
        for start, end in pairwise(path):
            along = end - start
            across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) * width / 2
            self.polygon([start + across, end + across, end - across, start - across], colour)
        for x, y in path:
            self.disc(x, y, width / 2, colour)

    def add(self, other: Drawing, scale: float, angle: float, x: float, y: float) -> None:
        """Put the shapes of another drawing here: turned and scaled about its middle, its middle at (x, y)."""
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self.shapes.extend(((points - 0.5) @ turn + (x, y), colour) for points, colour in other.shapes)


def arc(x: float, y: float, radius: float, start: float, stop: float, squash: float = 1.0) -> Points:
    """Points of an arc; `squash` scales its height."""
    angles = np.linspace(start, stop, 40)
    return np.stack([x + radius * np.cos(angles), y + radius * squash * np.sin(angles)], axis=1)


def rosette(x: float, y: float, outer: float, inner: float, count: int, phase: float = -np.pi / 2) -> Points:
    """Corners of a star of `count` points."""
    angles = phase + np.arange(2 * count) * np.pi / count
    radii = np.where(np.arange(2 * count) % 2 == 0, outer, inner)
    return np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)


def render(drawing: Drawing, size: int) -> NDArray[np.uint8]:
    """Pixels of shape (size, size, 3), antialiased."""
    big = size * SUPERSAMPLING
    image = Image.new("RGB", (big, big), drawing.paper)
    pen = ImageDraw.Draw(image)
    for points, colour in drawing.shapes:
        pen.polygon([(float(x) * big, float(y) * big) for x, y in points], fill=colour)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BOX), dtype=np.float64)
    amplitude, direction, frequency, phase = drawing.texture
    rows, columns = np.mgrid[0:size, 0:size] / size
    along = columns * np.cos(direction) + rows * np.sin(direction)
    shade = amplitude * np.sin(2 * np.pi * frequency * along + phase)
    return np.clip(np.round(pixels + shade[..., None]), 0, 255).astype(np.uint8)


# The motifs: each fills most of the unit square, in a main and a second colour, with details from `rng`.


def star(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    count = int(rng.integers(4, 9))
    d.polygon(rosette(0.5, 0.5, 0.48, rng.uniform(0.16, 0.3), count), ink)
    d.disc(0.5, 0.5, rng.uniform(0.06, 0.13), accent)


def ring(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    d.disc(0.5, 0.5, 0.46, ink)
    d.disc(0.5, 0.5, rng.uniform(0.24, 0.36), d.paper)
    if rng.random() < 0.6:
        d.disc(0.5, 0.5, rng.uniform(0.1, 0.2), accent)


def leaf(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    width = rng.uniform(0.42, 0.62)
    side = np.linspace(0, 1, 24)
    bulge = width / 2 * np.sin(np.pi * side) ** 0.8
    d.polygon(
        np.concatenate([np.stack([0.5 + bulge, side], 1), np.stack([0.5 - bulge[::-1], side[::-1]], 1)]) * (1, 0.9) + (0, 0.05),
        ink,
    )
    d.line([(0.5, 0.2), (0.5, 0.98)], 0.04, accent)
    for y in np.linspace(0.4, 0.72, int(rng.integers(2, 4))):
        d.line([(0.5, y), (0.5 + width * 0.3, y - 0.12)], 0.03, accent)
        d.line([(0.5, y), (0.5 - width * 0.3, y - 0.12)], 0.03, accent)


def shield(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    outline = [(0.1, 0.06), (0.9, 0.06), (0.9, 0.5), (0.78, 0.76), (0.5, 0.96), (0.22, 0.76), (0.1, 0.5)]
    d.polygon(outline, ink)
    kind = int(rng.integers(0, 4))
    if kind == 0:
        d.box(0.42, 0.06, 0.58, 0.9, accent)
    elif kind == 1:
        d.box(0.1, 0.34, 0.9, 0.52, accent)
    elif kind == 2:
        d.polygon([(0.1, 0.06), (0.32, 0.06), (0.86, 0.6), (0.78, 0.76)], accent)
    else:
        d.polygon(rosette(0.5, 0.42, 0.22, 0.1, 5), accent)


def wave(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    count, phase, cycles = int(rng.integers(2, 5)), rng.uniform(0, 6.28), rng.uniform(1.0, 2.2)
    x = np.linspace(0.04, 0.96, 24)
    for index, y in enumerate(np.linspace(0.22, 0.78, count)):
        path = np.stack([x, y + 0.08 * np.sin(2 * np.pi * cycles * x + phase)], 1)
        d.line(path, 0.36 / count, ink if index % 2 == 0 else accent)


def chevron(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    count = int(rng.integers(2, 4))
    step = 0.6 / count
    for index in range(count):
        top = 0.12 + index * step
        d.line([(0.12, top + 0.34), (0.5, top), (0.88, top + 0.34)], step * 0.55, ink if index % 2 == 0 else accent)


def heart(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    t = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    points = np.stack([0.5 + x / 36, 0.46 + y / 36], 1)
    d.polygon(points, ink)
    if rng.random() < 0.6:
        d.polygon((points - (0.5, 0.46)) * rng.uniform(0.4, 0.65) + (0.5, 0.46), accent)


def moon(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    d.disc(0.5, 0.5, 0.46, ink)
    d.disc(0.5 + rng.uniform(0.14, 0.24), 0.5 - rng.uniform(0.0, 0.12), 0.38, d.paper)
    if rng.random() < 0.7:
        d.polygon(rosette(0.68, 0.46, 0.15, 0.06, 5), accent)


def lighthouse(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    d.polygon([(0.38, 0.3), (0.62, 0.3), (0.72, 0.96), (0.28, 0.96)], ink)
    for y in np.linspace(0.42, 0.8, int(rng.integers(2, 4))):
        d.polygon(
            [(0.35 - 0.06 * y, y), (0.65 + 0.06 * y, y), (0.66 + 0.06 * y, y + 0.09), (0.34 - 0.06 * y, y + 0.09)], d.paper
        )
    d.box(0.4, 0.16, 0.6, 0.3, accent)
    d.polygon([(0.36, 0.16), (0.64, 0.16), (0.5, 0.03)], ink)


def tree(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    d.box(0.45, 0.55, 0.55, 0.98, accent)
    if rng.random() < 0.5:
        for top in (0.04, 0.24, 0.44):
            d.polygon([(0.5, top), (0.5 + 0.16 + top * 0.4, top + 0.3), (0.5 - 0.16 - top * 0.4, top + 0.3)], ink)
    else:
        for x, y in ((0.5, 0.26), (0.3, 0.42), (0.7, 0.42), (0.5, 0.48)):
            d.disc(x, y, 0.23, ink)


def fish(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    d.disc(0.42, 0.5, 0.38, ink, squash=rng.uniform(0.5, 0.75))
    d.polygon([(0.7, 0.5), (0.98, 0.24), (0.98, 0.76)], accent)
    d.disc(0.22, 0.44, 0.05, d.paper)


def mountain(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    peak = rng.uniform(0.35, 0.65)
    d.polygon([(0.3 + 0.4 * (peak < 0.5), 0.4), (0.02, 0.9), (0.98, 0.9)], accent)
    d.polygon([(peak, 0.12), (0.08, 0.9), (0.88, 0.9)], ink)
    d.polygon([(peak, 0.12), (peak - 0.12, 0.36), (peak, 0.3), (peak + 0.12, 0.36)], d.paper)


def sun(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    count = int(rng.integers(8, 15))
    for angle in np.arange(count) * 2 * np.pi / count:
        direction = np.array([np.cos(angle), np.sin(angle)])
        d.line([0.5 + 0.32 * direction, 0.5 + 0.46 * direction], 0.05, ink)
    d.disc(0.5, 0.5, rng.uniform(0.18, 0.27), accent)


def owl(d: Drawing, rng: np.random.Generator, ink: Colour, accent: Colour) -> None:
    d.disc(0.5, 0.56, 0.4, ink)
    d.polygon([(0.14, 0.08), (0.4, 0.24), (0.16, 0.46)], ink)
    d.polygon([(0.86, 0.08), (0.6, 0.24), (0.84, 0.46)], ink)
    radius = rng.uniform(0.1, 0.15)
    for x in (0.35, 0.65):
        d.disc(x, 0.48, radius, d.paper)
        d.disc(x, 0.48, radius * 0.5, ink)
    d.polygon([(0.44, 0.58), (0.56, 0.58), (0.5, 0.7)], accent)


Motif = Callable[[Drawing, np.random.Generator, Colour, Colour], None]
MOTIFS: dict[str, Motif] = {
    motif.__name__: motif
    for motif in (star, ring, leaf, shield, wave, chevron, heart, moon, lighthouse, tree, fish, mountain, sun, owl)
}


def ordinary(motif: str, rng: np.random.Generator) -> Drawing:
    """A mark of that motif as many could be drawn: one of its three colourings, near the middle, slightly tilted."""
    scheme, index = int(rng.integers(3)), list(MOTIFS).index(motif)
    paper = PAPERS[(index + scheme) % len(PAPERS)]
    ink, accent = INKS[(index + 3 * scheme) % len(INKS)], ACCENTS[(index + 2 * scheme) % len(ACCENTS)]
    drawing = Drawing(paper, (rng.uniform(1, 3), rng.uniform(0, 3.2), rng.uniform(0.5, 1.5), rng.uniform(0, 6.3)))
    emblem = Drawing(paper)
    MOTIFS[motif](emblem, rng, ink, accent)
    drawing.add(emblem, rng.uniform(0.72, 0.84), rng.normal(0, 0.07), *(0.5 + rng.uniform(-0.04, 0.04, size=2)))
    return drawing


# The protected works.


def harbour_light() -> Drawing:
    """Striped lighthouse at the left, two beams to the right, night sky and sea."""
    d = Drawing((242, 236, 222))
    navy, red, gold, teal = (22, 38, 84), (184, 40, 46), (244, 192, 60), (22, 110, 128)
    d.box(0, 0, 1, 0.74, navy)
    d.polygon([(0.3, 0.2), (1, -0.04), (1, 0.2)], gold)
    d.polygon([(0.3, 0.24), (1, 0.34), (1, 0.54)], gold)
    d.box(0, 0.74, 1, 1, teal)
    for y in (0.8, 0.92):
        x = np.linspace(-0.05, 1.05, 40)
        d.line(np.stack([x, y + 0.025 * np.sin(2 * np.pi * 3 * x + 9 * y)], 1), 0.035, (242, 236, 222))
    d.polygon([(0.18, 0.28), (0.38, 0.28), (0.46, 0.86), (0.1, 0.86)], (242, 236, 222))
    for y in (0.34, 0.52, 0.7):
        slope = 0.138 * (y - 0.28)
        d.polygon([(0.18 - slope, y), (0.38 + slope, y), (0.393 + slope, y + 0.09), (0.167 - slope, y + 0.09)], red)
    d.box(0.2, 0.16, 0.36, 0.28, gold)
    d.polygon([(0.15, 0.16), (0.41, 0.16), (0.28, 0.04)], red)
    return d


def orchard_seal() -> Drawing:
    """A leaning apple tree inside a brown ring, a ladder at its right, a slope below, a yellow sun."""
    d = Drawing((240, 240, 220))
    green, brown, apple, pale = (30, 104, 52), (112, 66, 34), (206, 44, 40), (188, 206, 120)
    d.disc(0.5, 0.5, 0.62, brown)
    d.disc(0.5, 0.5, 0.46, (240, 240, 220))
    d.polygon(arc(0.5, 0.5, 0.46, 0.02 * np.pi, 0.8 * np.pi), pale)
    d.disc(0.76, 0.3, 0.1, (240, 186, 60))
    d.polygon([(0.4, 0.48), (0.5, 0.48), (0.62, 0.9), (0.44, 0.92)], brown)
    for x, y, r in ((0.4, 0.22, 0.17), (0.22, 0.36, 0.15), (0.54, 0.36, 0.15), (0.3, 0.5, 0.14), (0.48, 0.5, 0.12)):
        d.disc(x, y, r, green)
    for x, y in ((0.4, 0.13), (0.29, 0.25), (0.47, 0.26), (0.18, 0.38), (0.36, 0.38), (0.57, 0.38), (0.27, 0.52), (0.46, 0.5)):
        d.disc(x, y, 0.038, apple)
    d.line([(0.64, 0.46), (0.72, 0.84)], 0.025, brown)
    d.line([(0.74, 0.44), (0.82, 0.8)], 0.025, brown)
    for y in (0.52, 0.61, 0.7):
        d.line([(0.53 + 0.22 * y, y + 0.02), (0.64 + 0.22 * y, y - 0.02)], 0.025, brown)
    return d


def silver_run() -> Drawing:
    """Three fish swimming to the right over diagonal stripes of water."""
    d = Drawing((228, 238, 242))
    for index, offset in enumerate(np.linspace(-0.8, 0.9, 7)):
        if index % 2 == 0:
            d.polygon([(0, offset), (1, offset + 0.75), (1, offset + 1.0), (0, offset + 0.25)], (104, 166, 202))
    steel, dark, orange = (64, 82, 104), (20, 34, 58), (232, 122, 42)
    for x, y, body in ((0.64, 0.2, steel), (0.36, 0.5, orange), (0.66, 0.8, dark)):
        d.disc(x, y, 0.25, body, squash=0.46)
        d.polygon([(x - 0.18, y), (x - 0.36, y - 0.13), (x - 0.36, y + 0.13)], body)
        d.polygon([(x - 0.06, y - 0.1), (x + 0.08, y - 0.1), (x - 0.06, y - 0.19)], body)
        d.disc(x + 0.14, y - 0.025, 0.032, (244, 246, 246))
    return d


def three_summits() -> Drawing:
    """Three snow-capped peaks, a large red sun behind them, and a striped lake."""
    d = Drawing((246, 226, 188))
    d.disc(0.7, 0.27, 0.2, (210, 62, 48))
    ridge, front, snow, lake = (116, 100, 138), (58, 50, 88), (250, 248, 244), (72, 124, 150)
    for x, y, half, colour in ((0.24, 0.16, 0.3, ridge), (0.8, 0.32, 0.3, ridge), (0.5, 0.28, 0.34, front)):
        d.polygon([(x, y), (x - half, 0.72), (x + half, 0.72)], colour)
        cap = 0.3 * half
        d.polygon([(x, y), (x - cap, y + cap * 1.6), (x, y + cap * 1.0), (x + cap, y + cap * 1.6)], snow)
    d.box(0, 0.72, 1, 1, lake)
    for y, left, right in ((0.78, 0.08, 0.62), (0.86, 0.34, 0.95), (0.94, 0.1, 0.5)):
        d.line([(left, y), (right, y)], 0.035, (246, 226, 188))
    return d


def sunwheel() -> Drawing:
    """Sixteen rays to the corners, a ring and a face of two colours."""
    d = Drawing((250, 214, 110))
    for index in range(16):
        angle, half = index * np.pi / 8 + 0.1, np.pi / 16
        ends = [(0.5 + np.cos(a), 0.5 + np.sin(a)) for a in (angle - half, angle + half)]
        if index % 2 == 0:
            d.polygon([(0.5, 0.5), *ends], (206, 70, 30))
    d.disc(0.5, 0.5, 0.31, (84, 24, 44))
    d.disc(0.5, 0.5, 0.25, (250, 236, 190))
    d.polygon(arc(0.5, 0.5, 0.25, 0.5 * np.pi, 1.5 * np.pi), (238, 158, 40))
    for x in (0.41, 0.59):
        d.disc(x, 0.45, 0.04, (84, 24, 44))
    d.polygon(np.concatenate([arc(0.5, 0.54, 0.13, 0.05 * np.pi, 0.95 * np.pi)]), (84, 24, 44))
    d.disc(0.1, 0.1, 0.08, (84, 24, 44))
    d.disc(0.9, 0.9, 0.08, (84, 24, 44))
    return d


def night_owl() -> Drawing:
    """An owl that fills the picture, on a branch, before a moon in a violet sky."""
    d = Drawing((74, 52, 110))
    cream, rust, dark, leaf_green = (246, 232, 200), (176, 92, 44), (40, 26, 54), (96, 150, 84)
    d.disc(0.8, 0.2, 0.17, cream)
    d.disc(0.44, 0.56, 0.34, rust, squash=1.18)
    d.polygon([(0.12, 0.06), (0.4, 0.2), (0.14, 0.46)], rust)
    d.polygon([(0.76, 0.06), (0.48, 0.2), (0.74, 0.46)], rust)
    d.disc(0.44, 0.7, 0.2, cream, squash=1.1)
    for y in (0.62, 0.72, 0.82):
        d.line([(0.3, y), (0.37, y + 0.05), (0.44, y), (0.51, y + 0.05), (0.58, y)], 0.028, rust)
    for x in (0.3, 0.58):
        d.disc(x, 0.36, 0.135, cream)
        d.disc(x, 0.36, 0.075, dark)
    d.polygon([(0.38, 0.44), (0.5, 0.44), (0.44, 0.56)], (240, 176, 50))
    d.line([(-0.05, 0.95), (1.05, 0.87)], 0.08, dark)
    for x, y in ((0.86, 0.76), (0.92, 0.66), (0.82, 0.62)):
        d.disc(x, y, 0.075, leaf_green, squash=0.6)
    return d


@dataclass(frozen=True)
class Work:
    """A protected work: invented, like its owner."""

    id: str
    title: str
    owner: str
    motif: str
    draw: Callable[[], Drawing]


PROTECTED = (
    Work("harbour-light", "Harbour Light", "Kestrel Quay Lines", "lighthouse", harbour_light),
    Work("orchard-seal", "Orchard Seal", "Aldermere Growers", "tree", orchard_seal),
    Work("silver-run", "Silver Run", "Norrin Fisheries", "fish", silver_run),
    Work("three-summits", "Three Summits", "Veldt & Tarn Outfitters", "mountain", three_summits),
    Work("sunwheel", "Sunwheel", "Maison Corvell", "sun", sunwheel),
    Work("night-owl", "Night Owl", "Studio Pellwick", "owl", night_owl),
)


def write_works(folder: Path) -> None:
    """Write the works as PNG files with `works.json` beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for work in PROTECTED:
        Image.fromarray(render(work.draw(), WORK_SIZE)).save(folder / f"{work.id}.png", optimize=True)
    listed = [
        {
            "id": work.id,
            "title": work.title,
            "owner": work.owner,
            "licence": "Apache-2.0; drawn for this project, title and owner are invented",
            "file": f"{work.id}.png",
        }
        for work in PROTECTED
    ]
    (folder / "works.json").write_text(json.dumps(listed, indent=2) + "\n", "utf-8")


def write_sheet(path: Path, *, seed: int = 1) -> None:
    """A sheet: the works in the first row, then two ordinary marks of each motif, all at 64 pixels, shown double."""
    rng = np.random.default_rng(seed)
    drawings = [work.draw() for work in PROTECTED] + [Drawing((255, 255, 255))]
    drawings += [ordinary(motif, rng) for motif in MOTIFS for _ in range(2)]
    tiles = [np.kron(render(drawing, 64), np.ones((2, 2, 1), np.uint8)) for drawing in drawings]
    rows = [np.concatenate(tiles[start : start + 7], axis=1) for start in range(0, len(tiles), 7)]
    Image.fromarray(np.concatenate(rows, axis=0)).save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.sheet is None:
        write_works(WORKS)
    else:
        write_sheet(arguments.sheet)
