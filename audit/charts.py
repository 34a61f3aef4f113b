"""Charts as SVG text that stands alone: no scripts, no fonts, nothing loaded; every number is in a title, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from guard.types import Action

COLOURS = {
    Action.ALLOW: "#5b8f5b",
    Action.LABEL: "#4a90a4",
    Action.REDACT: "#d9a441",
    Action.REVIEW: "#9a6fb0",
    Action.BLOCK: "#b5443c",
}
"""By action; also told apart in grey, since each is a shade darker or lighter than its neighbour."""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 200, 56, 24


def days_chart(days: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """A stacked column a day. `days`: every day with its counts by action, in order."""
    if not days:
        return ""
    most = max(1, *(sum(counts.values()) for _, counts in days))
    top = round_up(most)
    step = (_WIDTH - _LEFT) / len(days)
    parts = [
        _line(_LEFT, y := _place(value, top), _WIDTH, y) + _text(_LEFT - 6, y + 4, f"{value:,}", "end") for value in _ticks(top)
    ]
    labelled = max(1, len(days) // 8)
    for number, (day, counts) in enumerate(days):
        x, below = _LEFT + number * step, 0
        for action, colour in COLOURS.items():
            count = counts.get(action, 0)
            if count:
                low, high = _place(below, top), _place(below + count, top)
                parts.append(_bar((x + step * 0.1, high, step * 0.8, low - high), colour, f"{day}: {count:,} {action}"))
                below += count
        if number % labelled == 0:
            parts.append(_text(x + step / 2, _HEIGHT - 6, day[5:], "middle"))
    return _svg(_HEIGHT, parts, "Decisions a day, by action")


def bars_chart(rows: Sequence[tuple[str, Mapping[str, int], int]], title: str) -> str:
    """A stacked bar a value, in this order, with a mark where it was before. `rows`: label, counts by action, total before."""
    if not rows:
        return ""
    most = max(1, *(max(sum(counts.values()), before) for _, counts, before in rows))
    left, right, parts = 230, 90, list[str]()
    for number, (label, counts, before) in enumerate(rows):
        y, x = 6 + number * 24, float(left)
        shown = label if len(label) <= 32 else label[:31] + "…"
        parts.append(_text(left - 8, y + 13, shown, "end", label))
        for action, colour in COLOURS.items():
            count = counts.get(action, 0)
            if count:
                width = count / most * (_WIDTH - left - right)
                parts.append(_bar((x, y, width, 16), colour, f"{label}: {count:,} {action}"))
                x += width
        if before:
            at = left + before / most * (_WIDTH - left - right)
            parts.append(
                f'<path d="M{at:.1f} {y - 2}v20" stroke="#333" stroke-width="1.5"><title>before: {before:,}</title></path>'
            )
            x = max(x, at)
        parts.append(_text(x + 6, y + 13, f"{sum(counts.values()):,}", "start"))
    return _svg(12 + 24 * len(rows), parts, title)


def _svg(height: int, parts: Sequence[str], title: str) -> str:
    name = escape(title, {'"': "&quot;"})
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{name}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _bar(box: tuple[float, float, float, float], colour: str, title: str) -> str:
    x, y, width, height = box
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _text(x: float, y: float, text: str, anchor: str, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11">{told}{escape(text)}</text>'


def _line(x: float, y: float, right: float, bottom: float) -> str:
    return f'<path d="M{x:.1f} {y:.1f}L{right:.1f} {bottom:.1f}" stroke="#ccc" stroke-width="0.5"/>'


def _place(value: float, top: int) -> float:
    return (_HEIGHT - _BOTTOM) - value / top * (_HEIGHT - _BOTTOM - 12)


def _ticks(top: int) -> list[int]:
    return sorted({0, top // 2, top})


def round_up(most: int) -> int:
    """The next number that reads well: 1, 2 or 5 times a power of ten."""
    unit = 1
    while True:
        for factor in (1, 2, 5):
            if factor * unit >= most:
                return factor * unit
        unit *= 10
