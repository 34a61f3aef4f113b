"""Entries that changed places are found by the hashes that were stored of the tree."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256

import pytest

from audit import merkle
from audit.tiles import WIDTH, roots_of_full_tiles
from audit.verifier.order import name_exchanged
from audit.verifier.report import Findings
from audit.verifier.source import SqliteSource

SIZE = 1003
LEAVES = [sha256(b"%d" % number).digest() for number in range(SIZE)]
PEAKS = merkle.extend((), 0, LEAVES)[0]


def named(exchanges, *, tiles=True, stored=None, peaks=PEAKS):
    """Indices that are told, when the entries at these pairs of places are exchanged."""
    leaves = list(LEAVES)
    for one, other in exchanges:
        leaves[one], leaves[other] = leaves[other], leaves[one]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB, decision TEXT)")
        connection.execute("CREATE TABLE tile (level, idx, hash)")
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?)", [(at, leaf, f"d{at}") for at, leaf in enumerate(leaves)])
        roots = roots_of_full_tiles(0, (stored or LEAVES)[: SIZE // WIDTH * WIDTH])
        connection.executemany("INSERT INTO tile VALUES (1, ?, ?)", list(enumerate(roots)))
        found = Findings()
        name_exchanged(SqliteSource(connection), peaks, SIZE, found.problem, tiles=tiles)
    assert all((one.what, one.decision) == ("order", f"d{one.idx}") for one in found.problems)
    return sorted(one.idx for one in found.problems)


@pytest.mark.parametrize("pair", [(0, 1), (10, 11), (255, 256), (3, 700), (511, 512), (767, 768), (800, 1002), (900, 901)])
def test_two_entries_that_changed_places_are_found(pair):
    """Neighbours and distant ones, in one tile, in two, and in what is not a whole tile yet."""
    assert named([pair]) == list(pair)


def test_exchanges_in_several_tiles_are_each_found():
    """One in each; of two in one tile nothing is claimed."""
    assert named([(5, 9), (300, 301), (1000, 1001)]) == [5, 9, 300, 301, 1000, 1001]
    assert named([(5, 9), (20, 21), (300, 301)]) == [300, 301]


def test_without_stored_hashes_the_head_tells_of_small_blocks():
    """Where the intruder wrote tiles anew, or there never were any: neighbours, and all pairs of a block of a tile's size."""
    leaves = list(LEAVES)
    leaves[7], leaves[8] = leaves[8], leaves[7]
    assert named([(7, 8)], stored=leaves) == [7, 8]
    assert named([(7, 8)], tiles=False) == [7, 8]
    assert named([(600, 700)], tiles=False) == [600, 700]
    assert named([(600, 1001)], tiles=False) == [600, 1001]
    assert named([(7, 90)], tiles=False) == []


def test_a_false_head_names_nobody():
    """The entries are where they were."""
    assert named([], peaks=[bytes(32), *PEAKS[1:]]) == []
    assert named([]) == []
