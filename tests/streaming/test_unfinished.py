"""Where a pattern may still match, where sentences end, and where a text may be cut."""

from __future__ import annotations

import random

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.checks.pii_patterns import BY_LANGUAGE, GENERIC
from guard.checks.secret_patterns import SPECS
from guard.text.sentences import LONGEST, Sentences, cut_before, sentence_end
from guard.text.unfinished import AHEAD, Unfinished, _open

PATTERNS = (
    r"ab|abc(?=d)",
    r"(?<![a-c])[ab]{2,4}(?![a-c])",
    r"a(?=bc|[ab]{0,3}d)[a-d]",
    r"(?<!(?:ab|d)[ ]{0,2})c+d?",
    r"(?:a|b){2,3}+c?(?!d)",
    r"(a|b)[cd]\1",
    r"a.{0,4}?d(?:, [a-d]{2})?",
    r"d\Z|d[ ]{1,3}a",
)


def starts(pattern: str, text: str, before: int) -> list[tuple[int, int]]:
    return [match.span() for match in regex.finditer(pattern, text) if match.start() < before]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PATTERNS), st.text("abcd ,", max_size=24), st.text("abcd ,", max_size=12))
def test_matches_that_begin_before_are_those_of_every_longer_text(pattern: str, text: str, more: str) -> None:
    place = Unfinished([(pattern, 0)], ahead=4).start(text)
    assert starts(pattern, text, place) == starts(pattern, text + more, place)


def test_a_text_is_not_held_for_what_it_cannot_become() -> None:
    card = Unfinished([(r"(?<![0-9A-Za-z])[2-6][0-9]{3}(?:[ -]?[0-9]{4}){3}(?![0-9A-Za-z])", 0)])
    assert card.start("The parcel left this morning, and ") == 34
    assert card.start("Pay with 4111 1111") == 9
    assert card.start("Pay with 4111 1111 x") == 20
    assert card.start("Pay with 4111 1111 1111 1111") == 9
    assert card.start("Pay with 4111 1111 1111 1111 by the end of May") == 46


@pytest.mark.parametrize(
    "patterns",
    [
        [
            (pattern, regex.IGNORECASE if one.ignore_case else 0)
            for one in (*GENERIC, *BY_LANGUAGE["en"])
            for pattern, _ in one.patterns
        ],
        [(one.pattern, regex.ASCII | (regex.IGNORECASE if one.ignore_case else 0)) for one in SPECS],
    ],
)
def test_plain_text_waits_for_a_word_at_most(patterns: list[tuple[str, int]]) -> None:
    """Also guards against a look-around that `regex` takes for unfinished wherever it stands."""
    text = "Your parcel left the warehouse this morning and will be with you between nine and eleven. We opened the shop and "
    assert Unfinished(patterns).start(text) >= len(text) - 8


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("One. Two", 4),
        ("One.", 0),
        ("One.”  ", 5),
        ("It costs 3.14 euros", 0),
        ("什么？好", 3),
        ("什么？", 0),
        ("什么？”", 0),
        ("a\n\nb", 3),
        ("a\n", 0),
        ("word " * 100, 500),
        ("字" * (LONGEST + 10), LONGEST + 9),
    ],
)
def test_where_a_sentence_ends(text: str, end: int) -> None:
    assert sentence_end(text, 0) == end


def test_sentences_of_a_growing_text_end_where_those_of_a_whole_one_do() -> None:
    """However it grows; asked again from the end of the last one, or from before."""
    parts = ("word", " ", ".", "\n", "。", "”", ")", "...", "3.14", "! ", "字" * 30, "w" * 150, "？", "_", "No. ")
    for number in range(400):
        draw = random.Random(number)
        sentences, text, start = Sentences(), "", 0
        for _ in range(draw.randint(1, 25)):
            text += "".join(draw.choice(parts) for _ in range(draw.randint(1, 4)))
            end = sentences(text, start)
            assert end == sentence_end(text, start), text
            if draw.random() < 0.5:
                start = end


@pytest.mark.parametrize(
    ("text", "place", "cut"),
    [
        ("abc", 2, 2),
        ("abc", 3, 2),
        ("ae\u0301x", 2, 1),
        ("a\r\nb", 2, 1),
        ("x👨‍👩‍👧y", 3, 1),
        ("नमस्ते x", 3, 2),
        ("", 0, 0),
    ],
)
def test_clusters_are_not_cut(text: str, place: int, cut: int) -> None:
    assert cut_before(text, place) == cut


def test_no_pattern_is_left_out_that_could_begin() -> None:
    """What is remembered of beginnings changes no answer: the same as trying every pattern everywhere."""
    specs = [(one.pattern, regex.ASCII | (regex.IGNORECASE if one.ignore_case else 0)) for one in SPECS]
    specs += [
        (pattern, regex.IGNORECASE if one.ignore_case else 0)
        for one in (*GENERIC, *BY_LANGUAGE["en"], *BY_LANGUAGE["zh"])
        for pattern, _ in one.patterns
    ]
    short, everywhere = Unfinished(specs), [regex.compile(_open(pattern, AHEAD), flags) for pattern, flags in specs]
    for number in range(150):
        draw = random.Random(number)
        text = "".join(draw.choice(PARTS) for _ in range(draw.randint(1, 8)))
        text, since = text[: draw.randint(0, len(text))], draw.randint(0, 20)
        tried = [one.search(text, since, partial=True) for one in everywhere]
        assert short.start(text, since) == min([len(text), *(one.start() for one in tried if one is not None)]), text


def test_words_are_remembered_with_what_may_begin_in_them() -> None:
    """Between spaces, known or not, a text answers as if every pattern were tried everywhere."""
    specs = [(one.pattern, regex.ASCII | (regex.IGNORECASE if one.ignore_case else 0)) for one in SPECS]
    specs += [(pattern, regex.IGNORECASE if one.ignore_case else 0) for one in GENERIC for pattern, _ in one.patterns]
    short, everywhere = Unfinished(specs), [regex.compile(_open(pattern, AHEAD), flags) for pattern, flags in specs]
    words = ["Your", "parcel", "left", "please;", "card", "4111", "1111", "password:", "dbpwd=", "secret", "(0", "pass", ""]
    words += ["AKIAQ3EG", "\n", "é"]
    for number in range(150):
        draw = random.Random(number)
        text = " ".join(draw.choice(words) for _ in range(draw.randint(1, 12)))
        since = draw.randint(0, len(text) // 2)
        tried = [one.search(text, since, partial=True) for one in everywhere]
        assert short.start(text, since) == min([len(text), *(one.start() for one in tried if one is not None)]), text


PARTS = (
    "Your parcel left. ", "the card is 4111 1111 ", "1111 1111", "maria.keller@exam", "ple.com ", "DE89 3704 0044",
    " 0532 0130", "born on 14 March ", "1988", "password: ", "Kq7xPz29", "postgres://shop:Kq7", "xPz@db:5432/", "身份证号",
    "11010519491231002X", "电话是138", "1234 5678", "AKIAQ3EGZQ7P", "LMN4XYZA", "-----BEGIN PRIVATE", " KEY-----\nMIIB",
    "192.168.0", ".12 ", "12 Main St", "reet, ", "MRN is ", "passpo", "rt no ", "(0", "+1 415 ", "\u00a0", "é", "。", "\n", "x",
)  # fmt: skip


@pytest.mark.parametrize("more", ["", "x", " ", ".", "cd", ".x"])
def test_an_end_that_is_denied_is_not_taken_for_that_of_what_is_looked_at(more: str) -> None:
    """The pattern is told by four characters from a place on, whose end is not that of the text."""
    pattern = r"ab(?![.]{0,2}(?:\s|\Z|[$\\]))c?d?"
    unfinished = Unfinished([(pattern, 0)], ahead=2)
    assert unfinished._anywhere == ()
    for text in ("ab", "xab", "ab.", "ab..", "x ab.", "abc", "abcd", "abc. "):
        place = unfinished.start(text)
        assert starts(pattern, text, place) == starts(pattern, text + more, place)


def test_patterns_that_deny_an_end_are_found_everywhere() -> None:
    """What tells where a pattern may begin answers as if it were tried at every place, also where it denies an end."""
    given = [(one.pattern, regex.ASCII | (regex.IGNORECASE if one.ignore_case else 0)) for one in SPECS]
    given += [(pattern, regex.IGNORECASE if one.ignore_case else 0) for one in GENERIC for pattern, _ in one.patterns]
    given = [one for one in given if "\\Z" in one[0] or "$" in one[0]]
    compiled = [regex.compile(_open(pattern, AHEAD), flags) for pattern, flags in given]
    unfinished, draw = Unfinished(given), random.Random(8)
    for _ in range(300):
        text = "".join(draw.choice((*WORDS, *":= $'@.-_/?*\\\n")) for _ in range(draw.randint(1, 14)))
        since = draw.randint(0, len(text) // 2)
        found = [match.start() for one in compiled if (match := one.search(text, since, partial=True)) is not None]
        assert unfinished.start(text, since) == min(found, default=len(text)), text


WORDS = ("password", " pass", "--token ", "api_key", "the ", "Ab", "41 ", "(0", "secret", "密码是", "5", "x", "+49 ", "AKIA")
