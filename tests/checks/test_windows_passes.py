"""Which windows of texts a model reads in one pass."""

from __future__ import annotations

from guard.text.windows import TOKENS_A_PASS, Window, score
from guard.types import Span


def passes(lengths: list[int], *, padded: bool = True) -> tuple[list[list[int]], list[list[float]]]:
    """The lengths of the rows of each pass, and what was given back; each window's score is its length."""
    seen: list[list[int]] = []

    def forward(rows: list[list[int]], longest: int) -> list[list[float]]:
        assert longest == max(map(len, rows))
        seen.append([len(row) for row in rows])
        return [[float(len(row))] for row in rows]

    found = score([Window(at, Span(0, 1), [0] * length) for at, length in enumerate(lengths)], forward, padded=padded)
    return seen, found


def test_a_window_is_not_padded_to_more_than_twice_its_length() -> None:
    """Scores come back in the windows' own order."""
    lengths = [10, 96, 40, 9, 60] * 10
    seen, found = passes(lengths)
    assert seen == [[96] * 10 + [60] * 10, [40] * 10, [10] * 10 + [9] * 10]
    assert found == [[float(length)] for length in lengths]


def test_a_few_windows_are_read_in_one_pass_whatever_their_lengths() -> None:
    """A pass of its own would cost more than the padding."""
    assert passes([96, 3, 20, 50])[0] == [[96, 50, 20, 3]]


def test_a_model_without_padding_reads_all_in_one_pass() -> None:
    """It can then balance its threads best."""
    assert passes([10, 96] * 20, padded=False)[0] == [[96] * 20 + [10] * 20]


def test_a_pass_is_bounded() -> None:
    """Memory does not grow with the text."""
    seen, found = passes([64] * 1200)
    assert [len(rows) for rows in seen] == [TOKENS_A_PASS // 64] * 2 + [1200 - 2 * (TOKENS_A_PASS // 64)]
    assert len(found) == 1200
