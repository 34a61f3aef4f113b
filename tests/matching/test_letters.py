"""The letters that texts are compared by, and where each comes from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.matching.letters import MOST_BETWEEN, Reader, folded, letters

ANY_TEXT = st.text(st.characters(categories=None), max_size=80) | st.text("aß ﬁ\u200b.\n“é\u0301Ж中١", max_size=40)


def shown(text: str) -> str:
    return "".join(map(chr, letters(text).codes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Call me Ishmael.", "callmeishmael"),
        ("“Call—me”\n\n   *ISHMAEL*…", "callmeishmael"),
        ("Ｃａｌｌ ｍｅ", "callme"),
        ("ca\u200bll\u00ad m\ufeffe", "callme"),
        ("Straße, ﬁne, Cafe\u0301 = Café", "strassefinecafecafe"),
        ("Саll mе", "callme"),  # Cyrillic С, а, е
        ("don’t don't", "dontdont"),
        ("_x = a[0] + b;", "xa0b"),
        ("他说：“你好，世界！”", "他说你好世界"),
        ("हिन्दी", "हिनदी"),
        ("\ud800 \udfff", ""),
        ("", ""),
    ],
)
def test_what_a_reader_does_not_hear_is_dropped_or_folded(text, expected):
    """Case, width, accents, quotation marks, markup, white space, invisible characters and look-alikes."""
    assert shown(text) == expected


@given(ANY_TEXT)
def test_every_letter_is_what_its_code_point_folds_to(text):
    """Places lead back to the very character, in order; what is not compared has none."""
    found = letters(text)
    expected = [(place, letter) for place, character in enumerate(text) for letter in folded(character)]
    assert found.places.tolist() == [place for place, _ in expected]
    low = [ord(letter) & 0xFFFF for _, letter in expected if ord(letter) < 0x10000]
    assert [code for code, (_, letter) in zip(found.codes.tolist(), expected, strict=True) if ord(letter) < 0x10000] == low
    assert 0 not in found.codes


@given(ANY_TEXT, st.lists(st.integers(0, 80), max_size=5))
def test_a_text_in_pieces_has_the_letters_of_the_whole(text, cuts):
    """Places, and characters counted between letters, do not depend on where it is cut."""
    whole, reader = Reader(), Reader()
    expected = whole.read(text)
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [reader.read(text[start:end]) for start, end in pairwise(at)]
    for field in ("codes", "places", "steps"):
        assert np.concatenate([getattr(piece, field) for piece in pieces]).tolist() == getattr(expected, field).tolist()
    assert (reader.length, reader.trailing) == (whole.length, whole.trailing)


@given(ANY_TEXT)
def test_folding_twice_changes_nothing_more(text):
    """A letter stands for itself."""
    once = "".join(folded(character) for character in text)
    assert "".join(folded(character) for character in once) == once


def test_white_space_counts_as_one_and_a_stretch_without_letters_is_bounded():
    """Lengths are in characters a reader sees."""
    assert letters("a  \n b").steps.tolist() == [1, 2]
    assert letters("a\u200b\u200bb").steps.tolist() == [1, 1]
    assert letters("a" + "-" * 100 + "b").steps.tolist() == [1, MOST_BETWEEN + 1]
    assert letters("ß.").steps.tolist() == [1, 0]


def test_a_text_that_is_all_ligatures_has_room():
    """One code point can give 15 letters and more."""
    assert len(letters("\ufdfa" * 5000)) == 5000 * len(folded("\ufdfa"))
