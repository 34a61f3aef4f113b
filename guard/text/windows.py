"""Reads texts of any length with a model that reads a few tokens at a time: overlapping windows, placed in the original.

A label's score for a text is that of its worst window. Disguised text (`guard.text.normalise`) has more windows, of what it
says beneath the disguise, in the same pass; plain text, nearly all of it, is read once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from guard.errors import RegistryError
from guard.text.normalise import readings
from guard.types import Finding, Scan, Span

_SPELLED, _LOOSE = 4, 1.5
"""So many pieces, of so many letters on average, are a text that is spelled out."""
LEAST = 16
"""The smallest window, in tokens."""
TOKENS_A_PASS = 32_768
"""A pass holds 512 windows of 64 tokens: the activations of a base-size model stay under about half a gigabyte."""
_LEAST_ROWS = 8
"""Rows of a pass that are worth their padding."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of one text: its token numbers, and where it stands in the text."""

    text: int
    span: Span
    tokens: list[int]
    disguised: bool = False
    """Whether the tokens are another reading of what stands there."""


def accept(window_tokens: int, overlap_tokens: int, report_from: int) -> None:
    """Raise RegistryError for settings out of range, in a policy author's words."""
    if window_tokens < LEAST:
        raise RegistryError(f"window_tokens is {window_tokens}, expected at least {LEAST}")
    if not 0 <= overlap_tokens <= window_tokens // 2:
        raise RegistryError(f"overlap_tokens is {overlap_tokens}, expected 0 to {window_tokens // 2}, half a window")
    if not 0 <= report_from <= 1000:
        raise RegistryError(f"report_from is {report_from}, expected 0 to 1000 per mille")


def readable(text: str) -> str:
    """The text with a stand-in for each lone surrogate, which has no UTF-8; one code point for one, so places still hold."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def cut(tokenizer: Any, texts: Sequence[str], size: int, overlap: int) -> list[Window]:
    """All windows of all texts, in order; a text without a readable character has none.

    Not safe for threads that share the tokenizer: truncation is a state of it.
    """
    if not texts:
        return []
    found = tokenizer(
        [readable(text) for text in texts],
        truncation=True,
        max_length=size,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    windows = []
    for tokens, offsets, text in zip(
        found["input_ids"], found["offset_mapping"], found["overflow_to_sample_mapping"], strict=True
    ):
        places = [place for place in offsets if place[1] > place[0]]
        if places:
            span = Span(min(places)[0], max(map(itemgetter(1), places)))
            windows.append(Window(int(text), span, tokens))
    return windows


def cut_disguised(texts: Sequence[str], cutting: Callable[[list[str]], list[Window]]) -> list[Window]:
    """Windows of what texts say beneath a disguise, where it differs from what is written, placed in the original."""
    found = [(index, reading) for index, text in enumerate(texts) for reading in readings(text)]
    return [
        Window(found[window.text][0], found[window.text][1].to_original(window.span), window.tokens, disguised=True)
        for window in cutting([reading.text for _, reading in found])
        if found[window.text][1].alters(window.span)
    ]


def is_spelled_out(window: Window, texts: Sequence[str], disguised: Sequence[Window]) -> bool:
    """Whether a window is written in loose letters that another window reads as words: as it is written it says nothing."""
    words = texts[window.text][window.span.start : window.span.end].split()
    if len(words) < _SPELLED or sum(map(len, words)) > _LOOSE * len(words):
        return False
    return any(
        other.text == window.text and other.span.start <= window.span.start and window.span.end <= other.span.end
        for other in disguised
    )


Known = dict[tuple[int, ...], list[float]]
"""Scores of windows by their tokens: of one text that is read again and again while it grows."""
_MOST_KNOWN = 512


def score(
    windows: Sequence[Window],
    forward: Callable[[list[list[int]], int], list[list[float]]],
    *,
    padded: bool = True,
) -> list[list[float]]:
    """What `forward` makes of each window's tokens, in passes over windows of like length.

    A pass holds about TOKENS_A_PASS tokens at most, so that memory does not grow with the text, and no window that is less than
    half as long as its longest, unless it would be a short one: padding costs as much as words. `padded`: whether it does.
    `forward` is given rows of tokens, the longest first, and the length of the longest.
    """
    order = sorted(range(len(windows)), key=lambda number: -len(windows[number].tokens))
    scores: list[list[float]] = [[] for _ in windows]
    first = 0
    while first < len(order):
        longest = len(windows[order[first]].tokens)
        part = order[first : first + max(1, TOKENS_A_PASS // longest)]
        if padded:
            alike = sum(2 * len(windows[number].tokens) >= longest for number in part)
            part = part[: max(alike, _LEAST_ROWS)]
        for number, row in zip(part, forward([windows[number].tokens for number in part], longest), strict=True):
            scores[number] = row
        first += len(part)
    return scores


def remembered(
    windows: Sequence[Window], known: Known | None, score: Callable[[Sequence[Window]], list[list[float]]]
) -> list[list[float]]:
    """What `score` says of each window. Those in `known` are not scored again, and the others are added; it stays small."""
    if known is None:
        return score(windows)
    keys = [tuple(window.tokens) for window in windows]
    new = {key: window for key, window in zip(keys, windows, strict=True) if key not in known}
    found = dict(zip(new, score(list(new.values())), strict=True)) if new else {}
    scores = [found.get(key) or known[key] for key in keys]
    known |= found
    for old in list(known)[: max(0, len(known) - _MOST_KNOWN)]:
        del known[old]
    return scores


def scans(
    texts: Sequence[str],
    windows: Sequence[Window],
    scores: Sequence[Sequence[float]],
    columns: Sequence[tuple[int, str]],
    categories: Mapping[str, str],
    report_from: int,
) -> list[Scan]:
    """One Scan a text, with the worst window for each label that reaches `report_from` per mille.

    `columns`: the place of a label among a window's scores (probabilities), and the label; `categories`: each label's.
    """
    of_text: list[list[int]] = [[] for _ in texts]
    for number, window in enumerate(windows):
        of_text[window.text].append(number)
    return [
        Scan(
            tuple(
                _finding(mine, windows, scores, column, label, categories[label])
                for column, label in (columns if mine else ())
                if round(max(scores[number][column] for number in mine) * 1000) >= report_from
            ),
            Span(0, len(text)),
        )
        for text, mine in zip(texts, of_text, strict=True)
    ]


def _finding(
    mine: Sequence[int],
    windows: Sequence[Window],
    scores: Sequence[Sequence[float]],
    column: int,
    label: str,
    category: str,
) -> Finding:
    """What the window with the highest score says of a text; `mine`: the numbers of its windows."""
    place, worst = max(enumerate(mine), key=lambda one: scores[one[1]][column])
    per_mille = round(scores[worst][column] * 1000)
    written = sum(not windows[number].disguised for number in mine)
    where = "beneath a disguise" if windows[worst].disguised else f"in window {place + 1} of {written}"
    return Finding(category, label, per_mille, windows[worst].span, reason=f"scored {per_mille} per mille for {label} {where}")
