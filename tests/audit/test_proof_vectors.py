"""Proofs in the families that transparency logs test each other with: each kind of damage, for inclusion and for consistency.

Every proof of the eight reference leaves is damaged in every way; the library's verifier has to refuse, and for inclusion the
standalone one and the proof file as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from audit import merkle
from audit.checkpoint import Checkpoint
from audit.genguard_verify import Failure, root_from_path
from audit.proof import Proof, ProofError
from guard.note import SigningKey

BODIES = [b"", b"\x00", b"\x10", b" !", b"01", b"@ABC", bytes(range(0x50, 0x58)), bytes(range(0x60, 0x70))]
LEAVES = [merkle.leaf_hash(body) for body in BODIES]
ROOTS = [merkle.tree_root(LEAVES[:size]) for size in range(9)]
KEY = SigningKey.make("genguard/vectors")

NODES = {
    "1": "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "4": "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "0-1": "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "2-3": "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "4-5": "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "6-7": "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "0-3": "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4-7": "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
}
"""Nodes of the tree over the eight leaves, as the implementations of RFC 6962 share them, by their first and last leaf."""


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, ()),
        (0, 8, ("1", "2-3", "4-7")),
        (5, 8, ("4", "6-7", "0-3")),
        (2, 3, ("0-1",)),
    ],
)
def test_inclusion_proofs_are_the_shared_ones(index, size, path):
    """Made and verified."""
    proof = merkle.inclusion_proof(LEAVES[:size], index)
    assert [one.hex() for one in proof] == [NODES[name] for name in path]
    assert merkle.verify_inclusion(index, size, LEAVES[index], proof, ROOTS[size])


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [(1, 1, ()), (1, 8, ("1", "2-3", "4-7")), (6, 8, ("4-5", "6-7", "0-3")), (4, 8, ("4-7",)), (2, 4, ("2-3",)), (8, 8, ())],
)
def test_consistency_proofs_are_the_shared_ones(old, new, path):
    """Made and verified."""
    proof = merkle.consistency_proof(LEAVES[:new], old)
    assert [one.hex() for one in proof] == [NODES[name] for name in path]
    assert merkle.verify_consistency(old, new, ROOTS[old], ROOTS[new], proof)


def damaged_paths(path: list[bytes], root: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A path in every way that it can be wrong."""
    for place, node in enumerate(path):
        for bit in (0, 7, 128, 255):
            flipped = bytearray(node)
            flipped[bit // 8] ^= 1 << (bit % 8)
            yield "bit flip", [*path[:place], bytes(flipped), *path[place + 1 :]]
        yield "left out", path[:place] + path[place + 1 :]
        yield "twice", path[: place + 1] + path[place:]
        yield "zeros", [*path[:place], bytes(32), *path[place + 1 :]]
        yield "short hash", [*path[:place], node[:-1], *path[place + 1 :]]
    for garbage in (b"", bytes(32), root, merkle.EMPTY_ROOT):
        yield "garbage before", [garbage, *path]
        yield "garbage after", [*path, garbage]
    yield "too long", path + [bytes(32)] * 64
    if path:
        yield "empty", []
    if len(path) > 1:
        yield "reversed", path[::-1]


def inclusion_cases() -> Iterator[tuple[str, int, int, bytes, list[bytes], bytes]]:
    """Family, index, size, leaf, path, root."""
    for size in range(1, 9):
        for index in range(size):
            path, root, leaf = merkle.inclusion_proof(LEAVES[:size], index), ROOTS[size], LEAVES[index]
            for family, wrong in damaged_paths(path, root):
                yield family, index, size, leaf, wrong, root
            for other in range(-1, size + 2):
                if other != index:
                    yield "wrong index", other, size, leaf, path, root
            # A path says how long it is, not how large the tree: only sizes that give another length or other sides differ.
            for other in (-1, 0, index, 1 << 60):
                yield "wrong size", index, other, leaf, path, root
            yield "wrong leaf", index, size, merkle.leaf_hash(b"other"), path, root
            yield "leaf as node", index, size, root, path, root if size > 1 else bytes(32)
            yield "wrong root", index, size, leaf, path, merkle.EMPTY_ROOT
            yield "another tree's root", index, size, leaf, path, ROOTS[size - 1]


def consistency_cases() -> Iterator[tuple[str, int, int, bytes, bytes, list[bytes]]]:
    """Family, old size, new size, old root, new root, path."""
    for new in range(1, 9):
        for old in range(new + 1):
            path, before, after = merkle.consistency_proof(LEAVES[:new], old), ROOTS[old], ROOTS[new]
            for family, wrong in damaged_paths(path, after):
                yield family, old, new, before, after, wrong
            yield "wrong old root", old, new, merkle.leaf_hash(b"other"), after, path
            if old:  # of nothing, everything is a continuation
                yield "wrong new root", old, new, before, merkle.leaf_hash(b"other"), path
            if 0 < old < new:
                yield "roots swapped", old, new, after, before, path
                yield "sizes swapped", new, old, before, after, path
                yield "old root as new", old, new, before, before, path
                yield "of nothing", 0, new, before, after, path
                yield "of itself", new, new, before, after, path
            yield "negative", -1, new, before, after, path
            yield "shorter", new + 1, new, before, after, path
            if old not in {0, new}:
                for other in (old - 1, old + 1):
                    if other not in {0, new}:
                        yield "wrong old size", other, new, before, after, path
                yield "wrong new size", old, 1 << 60, before, after, path


def test_no_damaged_inclusion_proof_passes():
    """In the library, in the standalone verifier, and as a file; no verifier fails in another way."""
    seen = set()
    for family, index, size, leaf, path, root in inclusion_cases():
        seen.add(family)
        assert not merkle.verify_inclusion(index, size, leaf, path, root), (family, index, size)
        if 0 <= index < size:
            with contextlib.suppress(Failure):
                assert root_from_path(index, size, leaf, path) != root, (family, index, size)
    assert len(seen) == 16


def test_no_damaged_consistency_proof_passes():
    """For every pair of sizes."""
    seen = set()
    for family, old, new, before, after, path in consistency_cases():
        seen.add(family)
        assert not merkle.verify_consistency(old, new, before, after, path), (family, old, new)
    assert len(seen) == 21


def test_no_damaged_proof_file_passes():
    """Signed by the right key over the right tree."""
    for size in (1, 2, 5, 8):
        note = Checkpoint(KEY.name, size, ROOTS[size]).signed(KEY)
        for index in range(size):
            path = merkle.inclusion_proof(LEAVES[:size], index)
            if BODIES[index]:
                assert Proof(index, tuple(path), note, BODIES[index]).verify([KEY.public]).size == size
            for family, wrong in damaged_paths(path, ROOTS[size]):
                with pytest.raises(ProofError):
                    Proof(index, tuple(wrong), note, BODIES[index] or b"x").verify([KEY.public])
                assert family
