"""Copied passages: joined, counted, told apart, and the same however a text is cut."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import InputError, RegistryError
from guard.matching.passages import Follower, Kind, Passage, PassageMatcher, fingerprints
from guard.matching.snapshot import Snapshot, snapshot_of
from guard.matching.works import Work
from guard.types import Modality
from tests.matching.prose import chinese, prose, words

BOOK = prose(11, 1500)
OTHER = prose(12, 1500)


def bank(*texts: str, keep_text: bool = True) -> Snapshot:
    works = [
        Work(f"w{number}", f"Work {number}", Modality.TEXT, fingerprints=fingerprints(text, keep_text=keep_text))
        for number, text in enumerate(texts, 1)
    ]
    return snapshot_of("texts", works)


def cut(start: int, size: int, of: str = BOOK) -> str:
    return of[start : start + size]


@pytest.mark.parametrize("keep_text", [True, False])
def test_a_run_is_found_with_its_place_in_the_text_and_in_the_work(keep_text):
    """Only the work that it is from."""
    matcher = PassageMatcher(bank(OTHER[3000:], BOOK, keep_text=keep_text))
    text = f"{prose(13, 50)} {cut(2000, 300)} {prose(14, 50)}"
    (passage,) = matcher.match(text)
    begin = text.index(cut(2000, 300))
    assert (passage.number, passage.kind, passage.similarity) == (2, Kind.VERBATIM, 1.0)
    slack = 3 if keep_text else 35
    assert abs(passage.span.start - begin) <= slack
    assert abs(passage.span.end - begin - 300) <= slack
    assert abs(passage.source.start - 2000) <= slack
    assert abs(passage.source.end - 2300) <= slack
    assert passage.length >= 290


def counted(text: str) -> int:
    return len(" ".join(text.split()))


@given(st.integers(0, 8000), st.integers(60, 400), st.integers(60, 400))
@settings(max_examples=80, deadline=None)
def test_min_run_is_the_least_that_is_found(start, size, min_run):
    """A run that is as long, white space counted as one, is never missed; one that is much shorter is not reported."""
    start %= len(BOOK) - size
    part = cut(start, size)
    found = PassageMatcher(bank(BOOK), min_run).match(f"{prose(15, 40)}\n{part}\n{prose(16, 40)}")
    if counted(part) >= min_run:
        assert found
    elif counted(part) < min_run - 12:
        assert found == []


def test_a_quotation_below_the_minimum_is_fine():
    """Two lines are quoted, a page is copied."""
    matcher = PassageMatcher(bank(BOOK))
    assert matcher.match(f"As she says: “{cut(500, 120)}” {prose(17, 80)}") == []
    assert matcher.match(f"As she says: “{cut(500, 180)}” {prose(17, 80)}")


def test_chinese_is_counted_in_characters():
    """And so is the minimum."""
    work = chinese(1, 3000)
    matcher = PassageMatcher(bank(work), 80)
    assert len(matcher.match(chinese(2, 200) + work[700:790] + chinese(3, 200))) == 1
    assert matcher.match(chinese(2, 200) + work[700:765] + chinese(3, 200)) == []


def test_what_follows_in_text_and_work_is_one_passage():
    """A changed word every few lines; but not what comes from elsewhere in the work, or what was reordered."""
    matcher = PassageMatcher(bank(BOOK))
    changed = f"{cut(0, 400)} WRONGLY {cut(410, 400)} ALTERED {cut(825, 300)}"
    (passage,) = matcher.match(changed)
    assert passage.span.end - passage.span.start > 1100
    assert passage.source.end - passage.source.start > 1100
    assert len(matcher.match(f"{cut(4000, 400)} and {cut(0, 400)}")) == 2


def test_a_work_that_repeats_itself_is_reported_once_for_a_place():
    """The longest of overlapping passages."""
    refrain = prose(18, 60)
    work = f"{cut(0, 500)} {refrain} {cut(1000, 500)} {refrain} {cut(2000, 500)}"
    (passage,) = PassageMatcher(bank(work)).match(f"{prose(19, 30)} {refrain} {prose(20, 30)}")
    assert work[passage.source.start : passage.source.end].rstrip() in {refrain.rstrip("."), refrain}


def test_a_work_of_several_texts_says_which():
    """A code base: each file a text."""
    files = {"a.py": prose(21, 100), "b.py": prose(22, 100)}
    prints = tuple(one for part, text in files.items() for one in fingerprints(text, keep_text=True, part=part))
    matcher = PassageMatcher(snapshot_of("code", [Work("w", "Base", Modality.TEXT, fingerprints=prints)]))
    assert [(one.number, one.part) for one in matcher.match(f"{files['b.py']}\n\n{files['a.py']}")] == [
        (1, "b.py"),
        (1, "a.py"),
    ]


def followed(matcher: PassageMatcher, pieces: list[str]) -> list[Passage]:
    follower = Follower(matcher)
    found = [one for piece in pieces for one in follower.feed(piece)] + follower.finish()
    return sorted(found, key=lambda one: (one.span.start, one.span.end, one.number, one.source.start))


STREAM = (
    f"{prose(23, 20)} {cut(100, 200)} x {cut(310, 200)}{prose(24, 15)}“{cut(900, 170)}”\u200b\n\n {cut(3000, 260)}"
    f"{cut(2000, 200)}"
    f"{OTHER[50:300].upper()}{cut(9, 155)}"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
@settings(max_examples=80, deadline=None)
def test_a_stream_has_the_passages_of_the_whole_text_for_every_split(cuts):
    """Nothing is lost, added, doubled or moved."""
    matcher = PassageMatcher(bank(BOOK, OTHER, BOOK[150:260] + OTHER[:100] + BOOK[80:500]))
    at = [0, *sorted(cuts), len(STREAM)]
    assert followed(matcher, [STREAM[start:end] for start, end in pairwise(at)]) == matcher.match(STREAM)


def test_a_stream_character_by_character_has_them_too():
    """As a model writes it."""
    matcher = PassageMatcher(bank(BOOK, OTHER, keep_text=False))
    assert followed(matcher, list(STREAM)) == matcher.match(STREAM)


def test_a_stream_says_early_that_a_run_is_too_long():
    """As soon as it is; and hands it over once nothing can be added to it."""
    follower = Follower(PassageMatcher(bank(BOOK), 150))
    text = cut(1000, 600)
    at = next(end for end in range(1, 600) if follower.feed(text[end - 1]) == [] and follower.growing)
    assert 140 <= at <= 152
    assert follower.feed(text[at:]) == []
    assert follower.growing[0].length > 550
    assert len(follower.feed(prose(25, 100))) == 1
    assert follower.growing == []
    assert follower.finish() == []


def test_a_long_stream_needs_little_memory():
    """Buffers do not grow with the text."""
    follower = Follower(PassageMatcher(bank(BOOK)))
    for number in range(60):
        follower.feed(prose(1000 + number, 300))
        assert len(follower._runs._codes) < 2000
        assert follower._held == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a" * 100_000,
        "ab" * 50_000,
        "\ud800" * 5000,
        "a" + "\u0301" * 50_000,
        "\u200b" * 50_000,
        "。" * 9999,
        "ﷺ" * 5000,
    ],
)
def test_odd_texts_copy_nothing(text):
    """One letter 100,000 times, no spaces, lone surrogates, heaps of marks."""
    assert PassageMatcher(bank(BOOK, "a" * 400)).match(text) == []


def test_a_text_too_short_to_be_recognised_is_refused():
    """And the error says how short."""
    with pytest.raises(InputError, match="found a text of 19 letters, expected at least 47"):
        fingerprints("Too short to recognise!!! " + "." * 500, keep_text=True)


def test_a_minimum_below_what_is_certain_is_refused():
    """It would promise what it cannot keep."""
    with pytest.raises(RegistryError, match="min_run is 59, expected at least 60"):
        PassageMatcher(bank(BOOK), 59)


def test_a_bank_without_texts_matches_nothing():
    """Pictures alone."""
    assert PassageMatcher(snapshot_of("empty", [])).match(BOOK) == []


def reworded(text: str, share: float) -> str:
    draw, others = random.Random(5), words(40, 3000)
    return " ".join(draw.choice(others) if draw.random() < share else word for word in text.split())


def test_a_reworded_passage_is_told_from_a_verbatim_one():
    """And asked for, or not."""
    text = f"{prose(26, 60)} {reworded(cut(2000, 900), 0.2)} {prose(27, 60)}"
    (passage,) = PassageMatcher(bank(OTHER, BOOK)).match(text)
    assert (passage.number, passage.kind) == (2, Kind.NEAR)
    assert 0.3 < passage.similarity < 0.7
    assert abs(passage.source.start - 2000 - (passage.span.start - len(prose(26, 60)) - 1)) < 60
    assert PassageMatcher(bank(OTHER, BOOK), similarity=0).match(text) == []


def test_a_reworded_page_with_a_verbatim_half_is_both():
    """The verbatim run, and the rest; what a run covers is not reported as reworded too."""
    text = f"{cut(1000, 600)} {reworded(cut(1600, 900), 0.25)}"
    kinds = [one.kind for one in PassageMatcher(bank(BOOK)).match(text)]
    assert kinds.count(Kind.VERBATIM) == 1
    assert [one.kind for one in PassageMatcher(bank(BOOK)).match(cut(1000, 1500))] == [Kind.VERBATIM]


REWORDED = (
    f"{reworded(cut(0, 1500), 0.2)} {cut(3000, 200)}{reworded(cut(3200, 400), 0.3)}{prose(28, 90)}{reworded(OTHER[:700], 0.1)}"
)


@given(st.lists(st.integers(0, len(REWORDED)), max_size=12))
@settings(max_examples=50, deadline=None)
def test_a_stream_has_the_reworded_passages_of_the_whole_text(cuts):
    """For every split."""
    matcher = PassageMatcher(bank(BOOK, OTHER), similarity=0.2)
    assert len(matcher.match(REWORDED)) > 1
    at = [0, *sorted(cuts), len(REWORDED)]
    assert followed(matcher, [REWORDED[start:end] for start, end in pairwise(at)]) == matcher.match(REWORDED)


@pytest.mark.parametrize("similarity", [0.01, -1, 1.5])
def test_a_similarity_that_cannot_be_is_refused(similarity):
    """Everything would match, or nothing."""
    with pytest.raises(RegistryError, match="to 1, or 0 for verbatim"):
        PassageMatcher(bank(BOOK), similarity=similarity)
