"""The Merkle tree of RFC 6962 section 2.1 (restated in RFC 9162), over SHA-256.

A tree of n leaves is the perfect trees of n's binary digits, largest first. Their roots, the *frontier*, are all that an
appender needs: at most 64 hashes however long the log. Proofs are lists of hashes, lowest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(body: bytes) -> bytes:
    """Hash of a leaf; the 0x00 keeps leaves and nodes apart."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def extend(frontier: Sequence[bytes], size: int, leaves: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Frontier and size after appending leaf hashes to a tree of `size` leaves."""
    stack = list(frontier)
    for leaf in leaves:
        node, digits = leaf, size
        while digits & 1:
            node, digits = node_hash(stack.pop(), node), digits >> 1
        stack.append(node)
        size += 1
    return stack, size


def add_node(frontier: Sequence[bytes], size: int, node: bytes, leaves: int) -> tuple[list[bytes], int]:
    """Frontier and size after appending a perfect tree of so many leaves, a power of two that divides `size`."""
    stack, digits = list(frontier), size // leaves
    while digits & 1:
        node, digits = node_hash(stack.pop(), node), digits >> 1
    stack.append(node)
    return stack, size + leaves


def perfect_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes whose number is a power of two, level by level: quicker than `extend`."""
    level, digest = leaves, sha256
    while len(level) > 1:
        pairs = iter(level)
        level = [digest(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]


def frontier_root(frontier: Sequence[bytes]) -> bytes:
    """Root of the tree with this frontier."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for peak in reversed(frontier[:-1]):
        root = node_hash(peak, root)
    return root


def pack(frontier: Sequence[bytes]) -> bytes:
    """A frontier as one byte string."""
    return b"".join(frontier)


def unpack(data: bytes, size: int) -> list[bytes]:
    """The frontier of a tree of `size` leaves. Raises ValueError when the length does not fit."""
    if size < 0 or len(data) != HASH_SIZE * size.bit_count():
        raise ValueError(f"found a frontier of {len(data)} bytes for {size} entries, expected {HASH_SIZE * size.bit_count()}")
    return [data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE)]


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes."""
    return frontier_root(extend((), 0, leaves)[0])


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Proof that leaf `index` is in the tree over `leaves` (RFC 9162 section 2.1.3.1). Raises IndexError outside of it."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} is not in a tree of {len(leaves)}")
    proof: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(tree_root(leaves[middle:high]))
            high = middle
        else:
            proof.append(tree_root(leaves[low:middle]))
            low = middle
    return proof[::-1]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Proof that the tree over `leaves` extends the one over its first `old_size` (RFC 9162 section 2.1.4.1).

    Raises IndexError unless 0 <= old_size <= len(leaves).
    """
    if not 0 <= old_size <= len(leaves):
        raise IndexError(f"a tree of {len(leaves)} has no prefix of {old_size}")
    if old_size in (0, len(leaves)):
        return []
    proof: list[bytes] = []
    low, high, whole = 0, len(leaves), True
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            proof.append(tree_root(leaves[middle:high]))
            high = middle
        else:
            proof.append(tree_root(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        proof.append(tree_root(leaves[low:high]))
    return proof[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows leaf hash `leaf` at `index` of the tree of `size` leaves (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and result == root


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the new tree extends the old one (RFC 9162 section 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size in (0, new_size):
        same = EMPTY_ROOT if old_size == 0 else new_root
        return not proof and old_root == same and (new_size > 0 or new_root == EMPTY_ROOT)
    # A perfect old tree is a node of the new one, and left out of the proof.
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    return bool(path) and _climb(old_size, new_size, path) == (old_root, new_root)


def _climb(old_size: int, new_size: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Both roots that a consistency path leads to; None when its length does not fit."""
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)
