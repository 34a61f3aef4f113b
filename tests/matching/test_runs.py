"""Winnowed hashes, the index of verbatim runs, and the runs that are found."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import ModelError
from guard.matching import postings
from guard.matching import text_kernels as kernels
from guard.matching.letters import Reader, letters
from guard.matching.runs import GUARANTEED, Run, RunIndex, RunSearch, encode, winnowed
from guard.matching.snapshot import WorkIndex
from guard.matching.text_kernels import GRAM, PERIOD, WINDOW
from tests.matching.prose import chinese, prose

BOOK = prose(1, 1200)
OTHER = prose(2, 800)


def index(*texts: str, keep_text: bool = True) -> RunIndex:
    entries = [(number, encode(text, keep_text=keep_text)) for number, text in enumerate(texts, 1)]
    return RunIndex.empty("runs").extended(entries)


def found(held: RunIndex, *pieces: str, least: int = GUARANTEED) -> list[Run]:
    reader, search = Reader(), RunSearch(held, least)
    runs = [run for piece in pieces for run in search.feed(reader.read(piece))]
    return sorted([*runs, *search.finish(reader.trailing)], key=lambda run: (run.span.start, run.number, run.source.start))


def shared(text: str, work: str, least: int) -> list[tuple[int, int, int]]:
    """Oracle: all maximal stretches of letters that both have, as (letter in the text, letter in the work, letters)."""
    ours, theirs = letters(text).codes.tolist(), letters(work).codes.tolist()
    stretches = []
    before = [0] * (len(theirs) + 1)
    for i, code in enumerate(ours):
        now = [0] * (len(theirs) + 1)
        for j, other in enumerate(theirs):
            if code == other:
                now[j + 1] = before[j] + 1
                ends = i + 1 == len(ours) or j + 1 == len(theirs) or ours[i + 1] != theirs[j + 1]
                if ends and now[j + 1] >= least:
                    stretches.append((i + 1 - now[j + 1], j + 1 - now[j + 1], now[j + 1]))
        before = now
    return sorted(stretches)


def test_it_is_an_index():
    """It keeps the frame's protocol."""
    held: WorkIndex = index(BOOK)
    assert len(held) == 1
    assert held.pending == 0


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_every_shared_run_is_found_exactly(seed, alphabet):
    """Against the oracle: few different letters, so that stretches overlap and repeat; each run with its ends and place."""
    draw = random.Random(seed)
    sign = "abcdefgh"[: 2 * alphabet]
    work = "".join(draw.choices(sign, k=300))
    copied = [work[(start := draw.randrange(250)) : start + draw.randrange(40, 90)] for _ in range(3)]
    text = "".join(part + "".join(draw.choices(sign, k=draw.randrange(20))) for part in copied)
    runs = found(index(work), text)
    assert [(run.span.start, run.source.start, run.letters) for run in runs] == shared(text, work, GUARANTEED)


@given(st.integers(0, 5000), st.integers(GUARANTEED, 400), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_run_of_the_guaranteed_length_is_never_missed(start, size, keep_text):
    """Whatever it stands in, with the text handed over or hashes alone."""
    found_letters = letters(BOOK)
    start %= len(found_letters) - size
    begin, end = int(found_letters.places[start]), int(found_letters.places[start + size - 1]) + 1
    text = f"{OTHER[:777]} {BOOK[begin:end]} {OTHER[1000:1500]}"
    runs = found(index(OTHER[2000:], BOOK, keep_text=keep_text), text, least=GRAM)
    best = max((run for run in runs if run.number == 2), key=lambda run: run.letters)
    if keep_text:
        assert best.letters >= size
        assert best.span.start <= 778
        assert best.span.end >= 778 + end - begin
        ours, theirs = text[best.span.start : best.span.end], BOOK[best.source.start : best.source.end]
        assert letters(ours).codes.tolist() == letters(theirs).codes.tolist()
    else:
        assert best.letters >= size - 2 * (WINDOW - 1)
        assert best.length >= (end - begin) * 0.9  # with what may belong to it


@pytest.mark.parametrize("keep_text", [True, False])
def test_layout_case_and_quotation_marks_do_not_break_a_run(keep_text):
    """The run is one, and its place in the work is exact."""
    part = BOOK[1000:1600]
    changed = part.upper().replace(" ", "\n   ").replace(".", " … ").replace("“", '"')
    (run,) = found(index(BOOK, keep_text=keep_text), f"{OTHER[:300]}{changed}", least=200)
    if keep_text:
        assert BOOK[run.source.start : run.source.end].strip() in part
        assert run.source.end - run.source.start > 590
    assert abs(run.source.start - 1000) < 40
    assert abs(run.source.end - 1600) < 40


@given(st.lists(st.integers(0, 1500), max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_runs_are_the_same_however_the_text_is_cut(cuts):
    """Kept letters and hashes alone."""
    text = OTHER[:200] + BOOK[300:700] + OTHER[500:560] + BOOK[:300] + "x" + BOOK[301:420]
    at = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(at)]
    for held in (index(BOOK, BOOK[200:500]), index(BOOK, BOOK[200:500], keep_text=False)):
        assert found(held, *pieces) == found(held, text)


def test_chinese_is_compared_by_character():
    """47 characters are enough."""
    work = chinese(3, 2000)
    (run,) = found(index(work), chinese(4, 300) + work[500:560] + chinese(5, 300))
    assert run.source.start <= 501
    assert run.source.end >= 559


def test_repetitions_have_no_hashes_and_cost_no_more_than_prose():
    """One letter 100,000 times, a period of eight, no spaces; and such a work beside real ones."""
    for unit in ("a", "ha", "abcdefgh"):
        offsets, _ = winnowed(letters(unit * 20_000).codes)
        assert not len(offsets)
    assert found(index("a" * 500 + BOOK), "a" * 100_000) == []


@pytest.mark.timeout(60)
def test_a_refrain_repeated_in_text_and_work_stays_bounded():
    """A period that hashes do see: 64 runs are followed, not a million."""
    refrain = "round and round the wheels of the bus go all the day long "
    runs = found(index(refrain * 2000, BOOK), refrain * 4000)
    assert 0 < len(runs) < 100_000
    assert max(run.letters for run in runs) > 60_000


def test_what_stands_in_very_many_works_is_reported_for_the_first():
    """Boilerplate in 300 works: 64 of them are followed, and the text's own source is still found."""
    notice = prose(9, 60)
    works = [f"{prose(100 + number, 80)} {notice}" for number in range(300)]
    held = index(*works)
    runs = found(held, f"{OTHER[:200]} {notice} {OTHER[300:600]}")
    numbers = {run.number for run in runs}
    assert len(numbers) <= 80
    assert set(range(1, 50)) <= numbers
    assert 250 in {run.number for run in found(held, works[249])}


def test_works_come_and_go():
    """Retired works are not found, in whatever segment they are; later ones are; compacting changes nothing."""
    held = index(BOOK)
    for number in range(2, 40):
        held = held.extended([(number, encode(prose(100 + number, 60), keep_text=number % 2 == 0))])
    held = held.extended([(99, encode(OTHER, keep_text=True))])
    assert len(held.segments) < 8
    assert len(held) == 40
    text = BOOK[:500] + OTHER[:500] + prose(107, 60)
    assert {run.number for run in found(held, text)} == {1, 7, 99}
    less = held.without([1, 12345])
    assert {run.number for run in found(less, text)} == {7, 99}
    assert (len(less), less.pending > 0) == (39, True)
    assert found(less.compacted(), text) == found(less, text)
    assert (len(less.compacted()), less.compacted().pending) == (39, 0)
    again = less.extended([(1, encode(OTHER[:400], keep_text=True))])
    assert {run.number for run in found(again, BOOK[:500])} == set()
    assert {run.number for run in found(held, text)} == {1, 7, 99}  # the first index is as it was


def test_it_is_saved_and_opened(tmp_path):
    """With a tail and retired works; an index that is there already is replaced."""
    held = index(BOOK).extended([(2, encode(OTHER, keep_text=False)), (3, encode(prose(3, 90), keep_text=True))]).without([3])
    text = BOOK[:500] + OTHER[:500] + prose(3, 90)
    for _ in range(2):
        held.save(tmp_path / "runs")
        opened = RunIndex.open("runs", tmp_path / "runs")
        assert found(opened, text) == found(held, text)
        assert (len(opened), opened.pending) == (len(held), held.pending)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    empty = RunIndex.empty("runs")
    empty.save(tmp_path / "empty")
    assert found(RunIndex.open("runs", tmp_path / "empty"), text) == []


def test_a_damaged_index_is_refused(tmp_path):
    """Any file that is missing, cut or changed; a newer version; nothing at all."""
    folder = tmp_path / "runs"
    with pytest.raises(ModelError, match="cannot be opened"):
        RunIndex.open("runs", folder)
    for path in ("0.hashes.bin", "0.codes.bin", "0.lengths.bin", "facts.json"):
        for damage in (lambda data: data[:-1], lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:], None):
            index(BOOK, OTHER).save(folder)
            file = folder / path
            if damage is None:
                file.unlink()
            else:
                file.write_bytes(damage(file.read_bytes()))
            with pytest.raises(ModelError, match="cannot be opened"):
                RunIndex.open("runs", folder)
    index(BOOK).save(folder)
    with pytest.raises(ModelError, match="expected postings of overlap"):
        RunIndex.open("overlap", folder)


@pytest.mark.parametrize("keep_text", [True, False])
def test_a_malformed_fingerprint_is_refused(keep_text):
    """Cut off, changed, of another form, empty; never a crash."""
    data = encode(BOOK[:400], keep_text=keep_text)
    for bad in (b"", b"x" * 40, data[:-3], data[:4], b"GRZ\x01" + data[4:], data[:20] + b"\x00\x00" + data[22:]):
        with pytest.raises(ModelError, match="cannot be read"):
            RunIndex.empty("runs").extended([(1, bad)])


def test_hashes_alone_hold_no_text():
    """What is handed over has nothing of the words."""
    import zlib

    data = encode(BOOK, keep_text=False)
    assert not any(word.encode() in zlib.decompress(data[4:]) for word in BOOK.split() if len(word) > 5)
    assert BOOK[:80].encode() in zlib.decompress(encode(BOOK, keep_text=True)[4:])


def test_a_text_of_a_work_has_its_name():
    """A code base is a work of many files."""
    held = RunIndex.empty("runs").extended(
        [(1, encode(BOOK, keep_text=True, part="src/a.c")), (1, encode(OTHER, keep_text=False, part="b"))]
    )
    assert {(run.number, run.part) for run in found(held, BOOK[:300] + OTHER[:300])} == {(1, "src/a.c"), (1, "b")}


def test_a_text_that_is_too_large_to_unpack_is_refused(monkeypatch):
    """A small fingerprint must not fill the memory."""
    monkeypatch.setattr(postings, "LARGEST", 1000)
    with pytest.raises(ModelError, match="too large"):
        index(BOOK)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, PERIOD + 2), st.integers(0, 2 * GRAM), st.data())
def test_letters_that_repeat_are_seen_wherever_they_stand(
    codes: list[int], period: int, length: int, data: st.DataObject
) -> None:
    """As the definition says: GRAM letters in a row of which each is the one a period before it."""
    at = data.draw(st.integers(0, len(codes)))
    codes[at:at] = [place % period for place in range(length)]
    expected = any(
        all(
            one == other
            for one, other in zip(codes[start : start + GRAM - step], codes[start + step : start + GRAM], strict=True)
        )
        for step in range(1, PERIOD + 1)
        for start in range(len(codes) - GRAM + 1)
    )
    assert kernels.compiled(kernels.repeats)(np.array(codes, np.uint16)) == expected
