"""Draws an output beside the registered work that it matches, with the place in each."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from guard.imaging import flatten, open_picture
from guard.types import Region
from serving.works import Matched

if TYPE_CHECKING:
    from PIL.Image import Image

_HEIGHT = 384
"""Pixels of either picture."""
_GAP = 16
_FRAME = (208, 32, 32)


def draw(data: bytes, matched: Matched) -> Image:
    """The output, with the place of the nearest match framed; beside it the work's thumbnail, where its owner allows one."""
    from PIL import Image

    finding = matched.findings[0]
    assert finding.match is not None
    output = flatten(open_picture(data))
    left = _panel(output, finding.where if isinstance(finding.where, Region) else None)
    found = matched.bank.find(finding.match.work)
    if found is None or not found.work.thumbnail:
        return left
    with Image.open(io.BytesIO(found.work.thumbnail)) as thumbnail:
        right = _panel(flatten(thumbnail), None)
    page = Image.new("RGB", (left.width + _GAP + right.width, _HEIGHT), "white")
    page.paste(left, (0, 0))
    page.paste(right, (left.width + _GAP, 0))
    return page


def _panel(image: Image, where: Region | None) -> Image:
    """A picture in the common height, with a frame around a place."""
    from PIL import ImageDraw

    scale = _HEIGHT / image.height
    panel = image.resize((max(1, round(image.width * scale)), _HEIGHT))
    if where is not None:
        box = [round(side * scale) for side in (where.left, where.top, where.right - 1, where.bottom - 1)]
        ImageDraw.Draw(panel).rectangle(box, outline=_FRAME, width=3)
    return panel
