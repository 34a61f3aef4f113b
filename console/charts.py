"""Charts as SVG whose colours come from the style sheet, so that they fit both themes; every number is in a title, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from guard.types import Action

WIDTH, HEIGHT, LEFT, BOTTOM = 960, 220, 56, 24
_GRID = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')
_TEXT = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
_PART = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
_LINK = Markup('<a href="{}" aria-label="{}">{}</a>')
_SVG = Markup('<svg class="chart" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>')

Column = tuple[str, str, Mapping[str, int]]
"""What stands below it, where it leads, and its numbers by action."""


def columns(shown: Sequence[Column], title: str, named: Callable[[str], str]) -> Markup:
    """A stacked column each, the oldest first. `named`: an action in words."""
    top = round_up(max([1, *(sum(counts.values()) for _, _, counts in shown)]))
    step = (WIDTH - LEFT) / max(1, len(shown))
    labelled = max(1, -(-len(shown) // 8))
    parts = [_rule(value, top) for value in dict.fromkeys((0, top // 2, top))]
    for number, (label, href, counts) in enumerate(shown):
        x = LEFT + number * step
        if number % labelled == 0:
            parts.append(_TEXT.format(f"{x + step / 2:.1f}", HEIGHT - 6, "middle", label))
        if total := sum(counts.values()):
            parts.append(
                _LINK.format(href, f"{label}: {total:,}", _stack(x + step * 0.1, step * 0.8, label, counts, top, named))
            )
    return _SVG.format(WIDTH, HEIGHT, title, Markup("").join(parts))


def _stack(x: float, width: float, label: str, counts: Mapping[str, int], top: int, named: Callable[[str], str]) -> Markup:
    parts, below = [], 0
    for action in Action:
        if count := counts.get(action, 0):
            low, high = _place(below, top), _place(below + count, top)
            parts.append(
                _PART.format(action.value, x, high, width, max(low - high, 1.0), f"{label}: {count:,} {named(action)}")
            )
            below += count
    return Markup("").join(parts)


def _rule(value: int, top: int) -> Markup:
    y = f"{_place(value, top):.1f}"
    return _GRID.format(LEFT, WIDTH, y, y) + _TEXT.format(LEFT - 6, f"{_place(value, top) + 4:.1f}", "end", f"{value:,}")


def _place(value: float, top: int) -> float:
    """Where a number is, from above."""
    return HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - 10)


def round_up(most: int) -> int:
    """The next number that reads well and halves well: 2, 4, 10, 20, 40, 100 …"""
    size = 1
    while True:
        for factor in (2, 4, 10):
            if most <= factor * size:
                return factor * size
        size *= 10
