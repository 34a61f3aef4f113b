"""Word sequences, their index, and the reworded passages that are found."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import ModelError
from guard.matching.letters import Reader, letters
from guard.matching.overlap import Overlap, OverlapIndex, OverlapSearch, Sequences, encode
from guard.matching.snapshot import WorkIndex
from tests.matching.prose import chinese, prose, words

BOOK = prose(31, 3000)
OTHER = prose(32, 1500)


def index(*texts: str) -> OverlapIndex:
    return OverlapIndex.empty("overlap").extended(
        [(number, encode(text, keep_text=number % 2 > 0)) for number, text in enumerate(texts, 1)]
    )


def found(held: OverlapIndex, *pieces: str, similarity: float = 0.25) -> list[Overlap]:
    reader, search = Reader(), OverlapSearch(held, similarity)
    overlaps = [one for piece in pieces for one in search.feed(reader.read(piece))]
    overlaps += search.feed(Reader().read(""), ending=True)
    return sorted(overlaps, key=lambda one: (one.span.start, one.span.end, one.number, one.source.start))


def reworded(text: str, share: float, seed: int) -> str:
    draw, others = random.Random(seed), words(seed + 500, 4000)
    return " ".join(draw.choice(others) if draw.random() < share else word for word in text.split())


def test_it_is_an_index():
    """It keeps the frame's protocol."""
    held: WorkIndex = index(BOOK, OTHER)
    assert (len(held), held.pending) == (2, 0)
    assert len(held.without([2])) == 1


@pytest.mark.parametrize(("share", "least"), [(0.1, 30), (0.2, 30), (0.3, 27)])
def test_light_rewording_is_found(share, least):
    """One, two, three words in ten changed, in passages of 120 words: nearly all are found, about where they are."""
    held, hits = index(OTHER, BOOK), 0
    for seed in range(30):
        first = 60 * seed
        passage = " ".join(BOOK.split()[first : first + 120])
        overlaps = found(held, f"{prose(200 + seed, 100)} {reworded(passage, share, seed)} {prose(300 + seed, 100)}")
        assert {one.number for one in overlaps} <= {2}
        begin = len(" ".join(BOOK.split()[:first]))
        hits += any(abs(one.source.start - begin) < 300 for one in overlaps)
    assert hits >= least


def test_the_similarity_falls_with_the_words_that_are_changed():
    """As the share of three words of which none was changed."""
    held, passage = index(BOOK), " ".join(BOOK.split()[500:900])
    seen = [
        max(found(held, reworded(passage, share, 7)), key=lambda one: one.length).similarity for share in (0, 0.1, 0.2, 0.3)
    ]
    for similarity, expected in zip(seen, (1.0, 0.73, 0.51, 0.34), strict=True):
        assert abs(similarity - expected) < 0.1


def test_sentences_in_another_order_are_found():
    """Within a passage."""
    sentences = [one.strip() + "." for one in BOOK[3000:4200].split(".") if one.strip()]
    random.Random(3).shuffle(sentences)
    overlaps = found(index(BOOK), f"{prose(33, 80)} {' '.join(sentences)} {prose(34, 80)}")
    assert max(one.similarity for one in overlaps) > 0.6
    assert sum(one.length for one in overlaps) > 900


def test_chinese_is_compared_by_characters():
    """Six characters of a hundred changed."""
    work, draw = chinese(35, 3000), random.Random(1)
    part = "".join(chr(0x5000 + draw.randrange(999)) if draw.random() < 0.06 else sign for sign in work[1000:1300])
    one = max(found(index(work), chinese(36, 300) + part + chinese(37, 300)), key=lambda one: one.length)
    assert abs(one.source.start - 1000) < 20
    assert 0.6 < one.similarity < 0.9


def test_unrelated_texts_share_nothing():
    """Made-up prose of the same words."""
    held = index(*(prose(400 + number, 800) for number in range(10)))
    assert found(held, prose(500, 20_000), similarity=0.15) == []


def test_a_sequence_that_the_text_repeats_counts_once():
    """A refrain of a few words is no passage."""
    refrain = " ".join(BOOK.split()[100:105])
    text = " ".join(f"{refrain} {word}" for word in words(38, 300))
    assert found(index(BOOK), text, similarity=0.1) == []


@given(st.lists(st.integers(0, 4000), max_size=10))
@settings(max_examples=50, deadline=None)
def test_the_passages_are_the_same_however_the_text_is_cut(cuts):
    """Inside words too."""
    text = f"{OTHER[:500]} {reworded(BOOK[800:1900], 0.15, 1)} {OTHER[700:900]}{BOOK[100:600]}{chinese(39, 99)}"
    text += f"{reworded(BOOK[:900], 0.3, 2)}"
    held = index(BOOK, OTHER[600:1000] + chinese(39, 99))
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert found(held, *[text[start:end] for start, end in pairwise(at)]) == found(held, text)


@given(st.text(st.sampled_from("ab ,\u200b中文ß\ud800é\u0301"), max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_sequences_are_the_same_however_the_text_is_cut(text, cuts):
    """Hashes and places."""
    hashes, places = Sequences().read(letters(text), ending=True)
    reader, sequences = Reader(), Sequences()
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [sequences.read(reader.read(text[start:end])) for start, end in pairwise(at)]
    parts.append(sequences.read(Reader().read(""), ending=True))
    assert [one for part, _ in parts for one in part.tolist()] == hashes.tolist()
    assert [one for _, part in parts for one in part.tolist()] == places.tolist()


def test_works_come_and_go(tmp_path):
    """Added, retired, compacted, saved and opened."""
    held = index(BOOK).extended([(7, encode(OTHER, keep_text=False, part="b.txt"))])
    text = reworded(BOOK[:900] + OTHER[:900], 0.1, 4)
    assert {(one.number, one.part) for one in found(held, text)} == {(1, ""), (7, "b.txt")}
    less = held.without([1])
    assert {one.number for one in found(less, text)} == {7}
    assert found(less.compacted(), text) == found(less, text)
    less.save(tmp_path / "overlap")
    assert found(OverlapIndex.open("overlap", tmp_path / "overlap"), text) == found(less, text)


@pytest.mark.parametrize("keep_text", [True, False])
def test_a_malformed_fingerprint_is_refused(keep_text):
    """Cut off, changed, of another form."""
    data = encode(BOOK[:400], keep_text=keep_text)
    for bad in (b"", data[:-3], b"GRT\x01" + data[4:], data[:20] + b"\x00\x00" + data[22:]):
        with pytest.raises(ModelError, match="cannot be read"):
            OverlapIndex.empty("overlap").extended([(1, bad)])


def test_hashes_alone_find_what_the_text_finds():
    """It makes no difference but to the size of what is handed over."""
    text = reworded(BOOK[800:1900], 0.2, 6)
    kept, hashed = (OverlapIndex.empty("overlap").extended([(1, encode(BOOK, keep_text=keep))]) for keep in (True, False))
    assert found(kept, text) == found(hashed, text) != []


@pytest.mark.timeout(60)
def test_hostile_texts_stay_bounded():
    """The same few words over and over, in text and work; one word of 100,000 letters; no words at all."""
    work = "the same old words " * 3000 + BOOK
    held = index(work)
    found(held, "the same old words " * 20_000)
    found(held, "a" * 100_000)
    found(held, "。" * 100_000 + "\ud800" * 1000)
    assert found(held, "") == []
