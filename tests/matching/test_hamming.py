"""Exact radius search: whatever is entered, dropped, saved and mapped, it finds what comparing every hash finds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import ModelError
from guard.matching import hash_files, hash_tables
from guard.matching.hamming import HammingIndex, Hit
from guard.matching.hash_tables import BITS, WORDS

Entries = Sequence[tuple[int, bytes]]
RADII = (0, 1, 2, 7, 15, 16, 31, 32, 48, 64, 100, 128, 255, 256)


def oracle(entries: Entries, queries: Sequence[bytes], radius: int) -> list[Hit]:
    """By the definition alone."""
    best: dict[int, tuple[int, int]] = {}
    for number, data in entries:
        for which, query in enumerate(queries):
            distance = (int.from_bytes(data, "little") ^ int.from_bytes(query, "little")).bit_count()
            if distance <= radius and (distance, which) < best.get(number, (BITS + 1, 0)):
                best[number] = (distance, which)
    return sorted((Hit(number, *found) for number, found in best.items()), key=lambda hit: (hit.distance, hit.number))


def flipped(data: bytes, bits: Sequence[int]) -> bytes:
    value = int.from_bytes(data, "little")
    for bit in bits:
        value ^= 1 << bit
    return value.to_bytes(32, "little")


def noisy(draw: random.Random, data: bytes, distance: int) -> bytes:
    """A hash at that distance."""
    return flipped(data, draw.sample(range(BITS), distance))


def scattered(draw: random.Random, size: int) -> Entries:
    return [(number, draw.randbytes(32)) for number in range(1, size + 1)]


def clustered(draw: random.Random, size: int) -> Entries:
    """Few pictures, each with many edits at all distances; some works have several hashes."""
    centres = [draw.randbytes(32) for _ in range(max(1, size // 60))]
    return [
        (draw.randint(1, size), noisy(draw, draw.choice(centres), draw.choice((0, 1, 3, 8, 20, 31, 32, 60))))
        for _ in range(size)
    ]


def crowded(draw: random.Random, size: int) -> Entries:
    """Adversarial: empty and full hashes, hashes that agree in one chunk or in all but one, one hash of many works."""
    plain = bytes(32)
    kinds = (
        lambda: plain,
        lambda: b"\xff" * 32,
        lambda: noisy(draw, plain, draw.randint(0, 40)),
        lambda: draw.randbytes(29) + plain[:3],
        lambda: plain[:29] + draw.randbytes(3),
        lambda: draw.randbytes(8) + plain[:24],
        lambda: draw.randbytes(1) * 32,
    )
    return [(number, draw.choice(kinds)()) for number in range(1, size + 1)]


MAKERS = {"scattered": scattered, "clustered": clustered, "crowded": crowded}


def asked(draw: random.Random, entries: Entries, radius: int) -> list[bytes]:
    """Queries at, within and just beyond the radius of entries, and unrelated ones."""
    near = [noisy(draw, draw.choice(entries)[1], min(BITS, max(0, radius + shift))) for shift in (-radius, -1, 0, 0, 1, 2)]
    return [*near, draw.randbytes(32), bytes(32)]


@pytest.fixture
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and compiled code from the first hashes on, so that few entries test them."""
    monkeypatch.setattr(hash_tables, "_TABULATED", 32)
    monkeypatch.setattr(hash_tables, "_INTERPRETED", 8)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 700])
@pytest.mark.usefixtures("small_tables")
def test_every_radius_finds_what_the_oracle_finds(kind: str, size: int) -> None:
    """Compacted, as a list, and half of each; tables, compiled scan and numpy all take part."""
    draw = random.Random(f"{kind} {size}")
    entries = MAKERS[kind](draw, size)
    listed = HammingIndex.empty("pdq").extended(entries)
    mixed = HammingIndex.empty("pdq").extended(entries[: size // 2]).compacted().extended(entries[size // 2 :])
    for radius in RADII:
        queries = asked(draw, entries, radius) if entries else [bytes(32)]
        expected = oracle(entries, queries, radius)
        for index in (listed, mixed, listed.compacted()):
            assert index.search(queries, radius) == expected


@pytest.mark.usefixtures("small_tables")
def test_the_tables_are_exact_when_no_scan_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a budget without end every query goes through the tables, however far."""
    from guard.matching import kernels

    real = kernels.search
    calls = []

    def unlimited(*given: object) -> int:
        calls.append(given)
        return int(real(*given[:3], 1e200, *given[4:]))

    monkeypatch.setattr(kernels, "search", unlimited)
    monkeypatch.setattr(kernels, "forecast", lambda *_: 0.0)
    draw = random.Random(5)
    for maker in MAKERS.values():
        entries = maker(draw, 300)
        index = HammingIndex.empty("pdq").extended(entries).compacted()
        for radius in (*range(0, 50, 3), 64, 80):
            queries = asked(draw, entries, radius)
            assert index.search(queries, radius) == oracle(entries, queries, radius)
    assert len(calls) > 50


hashes = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.lists(st.integers(0, BITS - 1), max_size=40).map(lambda bits: flipped(bytes(32), bits)),
    st.lists(st.integers(0, BITS - 1), max_size=3).map(lambda bits: flipped(b"\x55" * 32, bits)),
)


@given(
    st.lists(st.tuples(st.integers(1, 60), hashes), max_size=120),
    st.lists(hashes, min_size=1, max_size=8),
    st.integers(0, BITS),
)
@settings(max_examples=150)
def test_equality_with_the_oracle(entries: Entries, queries: Sequence[bytes], radius: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_tables, "_TABULATED", 16)
        patch.setattr(hash_tables, "_INTERPRETED", 4)
        index = HammingIndex.empty("pdq").extended(entries).compacted()
        assert index.search(queries, radius) == oracle(entries, queries, radius)


changes = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(1, 20), hashes), min_size=1, max_size=30),
        st.sets(st.integers(-2, 25), max_size=6),
        st.sampled_from(["compact", "save"]),
    ),
    max_size=10,
)


@given(changes, hashes, st.integers(0, BITS))
@settings(max_examples=60)
def test_any_sequence_of_changes(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[object], query: bytes, radius: int
) -> None:
    """Entries, retired works, works that return, compaction, saving over itself."""
    folder = tmp_path_factory.mktemp("index") / "pdq"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_tables, "_TABULATED", 16)
        patch.setattr(hash_tables, "_INTERPRETED", 4)
        index, entries = HammingIndex.empty("pdq"), []
        for step in steps:
            if isinstance(step, list):
                index, entries = index.extended(step), entries + step
            elif isinstance(step, set):
                index, entries = index.without(step), [one for one in entries if one[0] not in step]
            elif step == "compact":
                index = index.compacted()
                assert index.pending == 0
            else:
                index.save(folder)
                pending, index = index.pending, HammingIndex.open("pdq", folder)
                assert index.pending == pending
            assert len(index) == len(entries)
            assert index.search([query], radius) == oracle(entries, [query], radius)
            if entries:
                assert index.search([entries[-1][1]], 0) == oracle(entries, [entries[-1][1]], 0)


def test_versions_share_their_tables_and_never_change() -> None:
    draw = random.Random(3)
    entries = scattered(draw, 500)
    before = HammingIndex.empty("pdq").extended(entries).compacted()
    after = before.extended([(900, bytes(32))]).without([1, 2, 3])
    assert after._version.tables is before._version.tables
    assert (before.pending, len(before), after.pending, len(after)) == (0, 500, 4, 498)
    assert before.search([entries[0][1]], 0) == [Hit(1, 0, 0)]
    assert after.search([entries[0][1], bytes(32)], 0) == [Hit(900, 0, 1)]
    assert after.without([1, 2]).pending == 4
    assert after.without([900]).pending == 3
    assert before.without([]).pending == 0


def test_one_hash_of_a_hundred_thousand_works_is_kept_and_verified_once() -> None:
    size = 100_000
    codes = np.zeros((size, 32), np.uint8)
    index = HammingIndex.from_arrays("pdq", codes, np.arange(1, size + 1))
    assert len(index._version.tables.codes) == 1
    found = index.near([flipped(bytes(32), [3, 77])], 2)
    assert np.array_equal(found.where, np.arange(1, size + 1))
    assert set(found.distances.tolist()) == {2}
    assert index.search([b"\xff" * 32], 200) == []
    assert len(index.without(range(1, size)).search([bytes(32)], 0)) == 1


def test_arrays_of_bytes_and_of_words_are_the_same_as_entries() -> None:
    draw = random.Random(11)
    entries = clustered(draw, 300)
    numbers = np.array([number for number, _ in entries])
    codes = np.frombuffer(b"".join(data for _, data in entries), np.uint8).reshape(-1, 32)
    queries = asked(draw, entries, 31)
    expected = oracle(entries, queries, 31)
    for given_codes in (codes, codes.view(np.uint64), np.asfortranarray(codes)):
        assert HammingIndex.from_arrays("pdq", given_codes, numbers).search(queries, 31) == expected
        assert HammingIndex.empty("pdq").joined(given_codes, numbers).search(queries, 31) == expected


@pytest.mark.parametrize(
    ("codes", "numbers"),
    [
        (np.zeros((2, 31), np.uint8), np.array([1, 2])),
        (np.zeros((2, 4), np.int64), np.array([1, 2])),
        (np.zeros(64, np.uint8), np.array([1, 2])),
        (np.zeros((2, 32), np.uint8), np.array([1])),
        (np.zeros((2, 32), np.uint8), np.array([1, 0])),
        (np.zeros((2, 32), np.uint8), np.array([1, 1 << 31])),
    ],
)
def test_malformed_arrays_are_refused(codes: np.ndarray, numbers: np.ndarray) -> None:
    with pytest.raises(ModelError, match="expected"):
        HammingIndex.from_arrays("pdq", codes, numbers)


def test_malformed_entries_and_queries_are_refused() -> None:
    index = HammingIndex.empty("pdq")
    with pytest.raises(ModelError, match="work 7 has a pdq of 31 bytes, expected 32"):
        index.extended([(6, bytes(32)), (7, bytes(31))])
    with pytest.raises(ModelError, match="expected 1 to 2147483647"):
        index.extended([(0, bytes(32))])
    with pytest.raises(ModelError, match="a query has a pdq of 8 bytes, expected 32"):
        index.search([bytes(8)], 31)
    assert index.search([], 31) == index.search([bytes(32)], -1) == index.compacted().search([bytes(32)], 256) == []


def test_entries_are_taken_in_as_they_come() -> None:
    """Across the boundary of a batch, from an iterator, in an order that is not theirs."""
    size = (1 << 16) + 3
    draw = random.Random(8)
    entries = [(number, draw.randbytes(32)) for number in range(size, 0, -1)]
    index = HammingIndex.empty("pdq").extended(iter(entries))
    assert len(index) == index.pending == size
    for place in (0, (1 << 16) - 1, 1 << 16, size - 1):
        number, data = entries[place]
        assert index.search([data], 0) == [Hit(number, 0, 0)]
        assert index.compacted().search([noisy(draw, data, 31)], 31) == [Hit(number, 31, 0)]


@pytest.mark.parametrize("rows", [1023, 1024, 1025, 4095, 4097, 8193, 16_383, 16_384, 16_385])
def test_blocks_end_where_they_end(rows: int) -> None:
    """First, last and middle rows around the sizes at which code, blocks and tables change."""
    draw = np.random.default_rng(rows)
    codes = draw.integers(0, 1 << 64, (rows, WORDS), np.uint64)
    for index in (
        HammingIndex.from_arrays("pdq", codes, np.arange(1, rows + 1)),
        HammingIndex.empty("pdq").joined(codes, np.arange(1, rows + 1)),
    ):
        for row in (0, 1, rows // 2, rows - 2, rows - 1):
            assert index.search([bytes(32), flipped(codes[row].tobytes(), range(31))], 31) == [Hit(row + 1, 31, 1)]


def test_readers_are_not_disturbed_by_changes() -> None:
    """Many threads search one version while others are made from it."""
    draw = random.Random(21)
    entries = clustered(draw, 20_000)
    index = HammingIndex.empty("pdq").extended(entries).compacted()
    queries = [noisy(draw, entries[place][1], 5) for place in range(0, 400, 10)]
    expected = {query: index.search([query], 31) for query in queries}
    for query in queries[:3]:
        assert expected[query] == oracle(entries, [query], 31)

    def change(turn: int) -> HammingIndex:
        return index.extended([(30_000 + turn, queries[turn])]).without([turn]).compacted()

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(change, turn) for turn in range(8)]
        read = [(query, pool.submit(index.search, [query], 31)) for _ in range(5) for query in queries]
        assert all(found.result() == expected[query] for query, found in read)
        for turn, version in enumerate(made):
            assert Hit(30_000 + turn, 0, 0) in version.result().search([queries[turn]], 0)


# --- in folders ------------------------------------------------------------------------------------------------------


def saved(folder: Path, size: int = 500) -> tuple[HammingIndex, Entries]:
    draw = random.Random(size)
    entries = clustered(draw, size)
    index = HammingIndex.empty("pdq").extended(entries).compacted().extended([(7001, bytes(32))]).without([entries[0][0]])
    index.save(folder)
    return index, [one for one in [*entries, (7001, bytes(32))] if one[0] != entries[0][0]]


@pytest.mark.usefixtures("small_tables")
def test_what_is_saved_is_found_again(tmp_path: Path) -> None:
    index, entries = saved(tmp_path / "deep" / "pdq")
    again = HammingIndex.open("pdq", tmp_path / "deep" / "pdq")
    queries = asked(random.Random(1), entries, 31)
    assert again.search(queries, 31) == index.search(queries, 31) == oracle(entries, queries, 31)
    assert (len(again), again.pending) == (len(index), index.pending)
    assert again.compacted().search(queries, 31) == again.search(queries, 31)


def test_an_empty_index_is_saved_too(tmp_path: Path) -> None:
    HammingIndex.empty("pdq").save(tmp_path / "pdq")
    again = HammingIndex.open("pdq", tmp_path / "pdq")
    assert len(again) == 0
    assert again.search([bytes(32)], 256) == []
    assert again.extended([(1, bytes(32))]).search([bytes(32)], 0) == [Hit(1, 0, 0)]


@pytest.mark.usefixtures("small_tables")
def test_saving_over_itself_writes_what_changed_and_leaves_no_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "pdq"
    index, entries = saved(folder)
    (tables,) = folder.glob("tables-*")
    stamps = {file: file.stat().st_mtime_ns for file in tables.iterdir()}
    mapped = HammingIndex.open("pdq", folder)
    for one in (index, mapped):
        one.extended([(8000, b"\x0f" * 32)]).save(folder)
        assert {file: file.stat().st_mtime_ns for file in tables.iterdir()} == stamps
        assert len(list(folder.iterdir())) == 3
    assert HammingIndex.open("pdq", folder).search([b"\x0f" * 32], 0) == [Hit(8000, 0, 0)]
    mapped.compacted().save(folder)
    assert not tables.exists()
    assert len(list(folder.iterdir())) == 3
    query = entries[5][1]
    assert mapped.search([query], 31) == HammingIndex.open("pdq", folder).search([query], 31) == oracle(entries, [query], 31)


@pytest.mark.usefixtures("small_tables")
def test_a_reader_finds_a_whole_version_while_others_are_saved(tmp_path: Path) -> None:
    folder = tmp_path / "pdq"
    index, entries = saved(folder)
    number, query = entries[-2]

    def write() -> None:
        for turn in range(15):
            index.extended([(9000 + turn, bytes(32))]).compacted().save(folder)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        opened = 0
        while not writing.done():
            found = HammingIndex.open("pdq", folder).search([query], 0)
            assert Hit(number, 0, 0) in found
            opened += 1
        writing.result()
    assert opened > 5
    assert len(list(folder.iterdir())) == 3


@pytest.mark.usefixtures("small_tables")
def test_a_copy_in_another_folder_stands_alone(tmp_path: Path) -> None:
    index, entries = saved(tmp_path / "one")
    HammingIndex.open("pdq", tmp_path / "one").save(tmp_path / "two")
    for file in (tmp_path / "one").rglob("*"):
        if file.is_file():
            file.unlink()
    assert HammingIndex.open("pdq", tmp_path / "two").search([entries[3][1]], 16) == index.search([entries[3][1]], 16)
    index.save(tmp_path / "one")
    assert HammingIndex.open("pdq", tmp_path / "one").search([entries[3][1]], 16) == index.search([entries[3][1]], 16)


@pytest.mark.usefixtures("small_tables")
def test_a_save_that_is_stopped_leaves_the_version_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pdq"
    index, entries = saved(folder)
    more = index.extended([(9000, b"\x33" * 32)]).compacted()
    real, calls = hash_files._settle, []

    def stopping(path: Path) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setattr(hash_files, "_settle", stopping)
    with pytest.raises(OSError, match="No space"):
        more.save(folder)
    again = HammingIndex.open("pdq", folder)
    assert again.search([b"\x33" * 32], 0) == []
    assert again.search([entries[4][1]], 8) == oracle(entries, [entries[4][1]], 8)


@pytest.mark.usefixtures("small_tables")
def test_damaged_files_are_refused_or_reported(tmp_path: Path) -> None:
    """Every file missing, cut short, emptied or grown; never a crash."""
    folder = tmp_path / "pdq"
    saved(folder)
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        whole = file.read_bytes()
        for broken in (None, b"", whole[:-1], whole[: len(whole) // 2], whole + b"]"):
            if broken == whole:
                continue
            file.unlink(missing_ok=True)
            if broken is not None:
                file.write_bytes(broken)
            with pytest.raises(ModelError) as caught:
                HammingIndex.open("pdq", folder)
            assert caught.value.advice
            assert str(tmp_path) not in str(caught.value)
        file.write_bytes(whole)
    HammingIndex.open("pdq", folder)


@pytest.mark.parametrize("name", ["offsets", "ids", "starts"])
@pytest.mark.usefixtures("small_tables")
def test_tables_that_point_outside_are_reported_not_followed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pdq"
    _, entries = saved(folder)
    (file,) = folder.glob(f"tables-*/{name}.bin")
    np.random.default_rng(2).integers(0, 1 << 32, file.stat().st_size // 4, np.uint32).tofile(file)
    damaged = HammingIndex.open("pdq", folder)
    with pytest.raises(ModelError, match="damaged"):
        damaged.search([data for _, data in entries[:20]], 3)
    if name == "starts":
        with pytest.raises(ModelError, match="damaged"):
            damaged.compacted()


def test_another_version_method_or_altered_facts_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pdq"
    saved(folder)
    with pytest.raises(ModelError, match="another version or method, expected phash"):
        HammingIndex.open("phash", folder)
    facts = folder / "facts.json"
    text = facts.read_text("utf-8")
    facts.write_text(text.replace('"version": 2', '"version": 1'), "utf-8")
    with pytest.raises(ModelError, match="another version"):
        HammingIndex.open("pdq", folder)
    facts.write_text(text.replace('"gone": ', '"gone": 1'), "utf-8")
    with pytest.raises(ModelError, match="is damaged"):
        HammingIndex.open("pdq", folder)
    with pytest.raises(ModelError, match="cannot be opened"):
        HammingIndex.open("pdq", tmp_path / "none")
    facts.write_text("[]", "utf-8")
    with pytest.raises(ModelError, match="another version"):
        HammingIndex.open("pdq", folder)


# --- compiled code ---------------------------------------------------------------------------------------------------


def test_kernels_are_compiled_without_a_cache_where_none_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only system without a home."""
    import numba

    from guard.matching import kernels

    real, asked_for = numba.njit, []

    def njit(signature: object, *, cache: bool, **options: bool) -> object:
        asked_for.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(signature, cache=False, **options)

    monkeypatch.setattr(numba, "njit", njit)
    assert kernels.compiled("int64(int64)")(lambda number: number + 1)(41) == 42
    assert asked_for == [True, False]


@pytest.mark.slow
def test_a_million_hashes() -> None:
    """Near and unrelated queries at many radii, by tables and with changes, against a scan by numpy."""
    draw = np.random.default_rng(12)
    codes = draw.integers(0, 1 << 64, (1_000_000, WORDS), np.uint64)
    codes[500_000:520_000] = codes[7]
    for row in range(520_000, 560_000):
        codes[row] = codes[row % 50]
        codes[row, row % 4] ^= np.uint64(1 << (row % 64)) | np.uint64(1 << (row // 64 % 64))
    numbers = np.arange(1, len(codes) + 1)
    index = HammingIndex.from_arrays("pdq", codes[:900_000], numbers[:900_000])
    index = index.joined(codes[900_000:], numbers[900_000:]).without(range(1, 1000, 3))
    kept = np.ones(len(codes), bool)
    kept[0:999:3] = False
    for version in (index, index.compacted()):
        assert len(version) == kept.sum()
        for radius in (0, 5, 16, 31, 40, 48, 64, 100):
            for row in (7, 123, 600_000, 950_000):
                query = flipped(codes[row].tobytes(), draw.choice(BITS, radius, replace=False).tolist())
                distances = np.bitwise_count(codes ^ np.frombuffer(query, np.uint64)).sum(axis=1, dtype=np.int64)
                rows = np.flatnonzero((distances <= radius) & kept)
                found = version.near([query], radius)
                order = np.lexsort((rows, distances[rows]))
                assert np.array_equal(found.where, numbers[rows[order]])
                assert np.array_equal(found.distances, distances[rows[order]])
