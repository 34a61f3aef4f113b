"""audit.tiles: proofs from tiles are those from all leaves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle
from audit.tiles import WIDTH, Tile, Tree, entries_path, roots_of_full_tiles, tiles

LEAVES = [merkle.leaf_hash(str(number).encode()) for number in range(WIDTH * 5 + 77)]


class Levels:
    """Hashes of two levels in lists; counts what is read."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        whole = len(leaves) // WIDTH * WIDTH
        self.levels = [list(leaves), roots_of_full_tiles(0, leaves[:whole])]
        self.reads = 0

    def read(self, level: int, start: int, stop: int) -> list[bytes]:
        found = self.levels[level][start:stop]
        if len(found) < stop - start:
            raise LookupError(f"no hashes {start} to {stop} at level {level}")
        self.reads += len(found)
        return found


@settings(max_examples=60, deadline=None)
@given(st.integers(1, len(LEAVES)), st.data())
def test_roots_and_proofs_are_those_over_all_leaves(size: int, data: st.DataObject) -> None:
    """For any size, leaf and older size."""
    tree, part = Tree(Levels(LEAVES)), LEAVES[:size]
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    assert tree.root(size) == merkle.tree_root(part)
    assert tree.inclusion(index, size) == merkle.inclusion_proof(part, index)
    assert tree.consistency(old, size) == merkle.consistency_proof(part, old)


def test_a_proof_reads_a_few_tiles() -> None:
    """Not every leaf: those of the entry's own tile, one hash for each other, and the unfinished end."""
    source = Levels(LEAVES)
    Tree(source).inclusion(3, len(LEAVES))
    assert source.reads < 2 * WIDTH + 100


def test_what_is_not_there_is_told() -> None:
    """Outside of the tree, or of the source."""
    tree = Tree(Levels(LEAVES[:10]))
    for index, size in ((-1, 10), (10, 10)):
        with pytest.raises(IndexError):
            tree.inclusion(index, size)
    with pytest.raises(IndexError):
        tree.consistency(11, 10)
    with pytest.raises(LookupError):
        tree.root(11)
    assert tree.root(0) == merkle.EMPTY_ROOT
    with pytest.raises(ValueError, match="whole tiles"):
        roots_of_full_tiles(0, LEAVES[:255])


def test_tiles_are_those_of_the_specification() -> None:
    """Its example of 70,000 leaves, and its example of a path."""
    found = list(tiles(70_000))
    by_level = [[tile for tile in found if tile.level == level] for level in range(4)]
    assert [len(level) for level in by_level] == [274, 2, 1, 0]
    assert (by_level[0][-1].width, by_level[1][-1].width, by_level[2][-1].width) == (112, 17, 1)
    assert Tile(0, 1_234_067).path == "tile/0/x001/x234/067"
    assert Tile(1, 5, 17).path == "tile/1/005.p/17"
    assert entries_path(1000) == "tile/entries/x001/000"
    assert list(tiles(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles(0)) == []
