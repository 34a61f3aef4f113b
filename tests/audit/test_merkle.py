"""The tree against a naive one, and proofs against every kind of damage."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import merkle

BODIES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes(range(0x50, 0x58)),
    bytes(range(0x60, 0x70)),
]
LEAVES = [merkle.leaf_hash(body) for body in BODIES]


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition in RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def leaves_of(count: int) -> list[bytes]:
    """`count` different leaf hashes."""
    return [merkle.leaf_hash(str(number).encode()) for number in range(count)]


def test_roots_are_those_of_the_reference_vectors():
    """Roots that the certificate transparency implementations share for these eight leaves."""
    assert merkle.tree_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.tree_root(LEAVES[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.tree_root(LEAVES[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert merkle.tree_root(LEAVES).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@pytest.mark.parametrize("size", range(40))
def test_the_frontier_gives_the_naive_root_however_it_was_reached(size):
    """One by one, in two groups, and through its packed form."""
    leaves = leaves_of(size)
    whole, count = merkle.extend((), 0, leaves)
    first, middle = merkle.extend((), 0, leaves[: size // 3])
    grouped, _ = merkle.extend(merkle.unpack(merkle.pack(first), middle), middle, leaves[size // 3 :])
    assert count == size
    assert merkle.frontier_root(whole) == merkle.frontier_root(grouped) == naive_root(leaves)
    assert len(whole) == size.bit_count()


def test_a_frontier_of_another_length_is_refused():
    """A cut or padded frontier is not guessed at."""
    with pytest.raises(ValueError, match="expected 64"):
        merkle.unpack(bytes(32), 3)


@settings(deadline=None)
@given(st.integers(1, 70), st.data())
def test_inclusion_proofs_hold_and_nothing_else_does(size, data):
    """Every leaf is provable; another index, size, leaf, hash, order or length is not."""
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = merkle.inclusion_proof(leaves, index), naive_root(leaves)
    assert merkle.verify_inclusion(index, size, leaves[index], proof, root)
    assert len(proof) <= (size - 1).bit_length()
    assert not merkle.verify_inclusion(index, size, merkle.leaf_hash(b"other"), proof, root)
    assert not merkle.verify_inclusion(index, size, leaves[index], [*proof, root], root)
    assert not merkle.verify_inclusion(index, size, leaves[index], [root, *proof], root)
    assert not merkle.verify_inclusion(index, 0, leaves[index], proof, root)
    assert not merkle.verify_inclusion(-1, size, leaves[index], proof, root)
    assert not merkle.verify_inclusion(size, size, leaves[index], proof, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda found: found != index)) if size > 1 else None
    assert other is None or not merkle.verify_inclusion(other, size, leaves[index], proof, root)
    for place, sibling in enumerate(proof):
        flipped = bytes([sibling[0] ^ 1]) + sibling[1:]
        assert not merkle.verify_inclusion(index, size, leaves[index], [*proof[:place], flipped, *proof[place + 1 :]], root)
        assert not merkle.verify_inclusion(index, size, leaves[index], proof[:place] + proof[place + 1 :], root)


@settings(deadline=None)
@given(st.integers(0, 70), st.data())
def test_consistency_proofs_hold_and_nothing_else_does(size, data):
    """Every prefix is provable; another root, a cut, padded or changed proof is not."""
    leaves = leaves_of(size)
    old = data.draw(st.integers(0, size))
    old_root, root = naive_root(leaves[:old]), naive_root(leaves)
    proof = merkle.consistency_proof(leaves, old)
    assert merkle.verify_consistency(old, size, old_root, root, proof)
    assert not merkle.verify_consistency(old, size, bytes(32), root, proof)
    assert not merkle.verify_consistency(old, size, old_root, root, [*proof, bytes(32)])
    assert not merkle.verify_consistency(old, size, old_root, root, [bytes(32), *proof])
    if old:
        assert not merkle.verify_consistency(old, size, old_root, bytes(32), proof)
        assert not merkle.verify_consistency(size + 1, size, old_root, root, proof)
    for place, sibling in enumerate(proof):
        flipped = bytes([sibling[0] ^ 1]) + sibling[1:]
        assert not merkle.verify_consistency(old, size, old_root, root, [*proof[:place], flipped, *proof[place + 1 :]])
        assert not merkle.verify_consistency(old, size, old_root, root, proof[:place] + proof[place + 1 :])


def test_proofs_outside_the_tree_are_refused():
    """There is nothing to prove there."""
    with pytest.raises(IndexError):
        merkle.inclusion_proof(LEAVES, 8)
    with pytest.raises(IndexError):
        merkle.consistency_proof(LEAVES, 9)
