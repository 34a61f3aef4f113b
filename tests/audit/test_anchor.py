"""audit.anchor: a file of checkpoints that survives what is cut off, and shows what is changed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.verifier.heads import read_heads
from guard.note import SigningKey

KEY = SigningKey("genguard/test", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
NOTES = [Checkpoint(KEY.name, size, bytes([size]) * 32).signed(KEY) for size in range(1, 5)]


@pytest.fixture
def anchor(tmp_path):
    """An anchor with two checkpoints."""
    made = FileAnchor(tmp_path / "anchor.txt")
    for note in NOTES[:2]:
        made.append(note)
    return made


def test_what_a_full_disk_cut_off_does_not_spoil_what_comes_after(anchor):
    """At every byte: whole checkpoints stay, the cut one is left out, and later ones are read."""
    whole = anchor.path.read_bytes()
    note = f"{NOTES[2]}\n".encode()
    for cut in range(len(note) + 1):
        anchor.path.write_bytes(whole + note[:cut])
        is_there = cut >= len(note) - 1
        assert anchor.notes() == tuple(NOTES[: 3 if cut == len(note) else 2])
        anchor.append(NOTES[3])
        anchor.append(NOTES[3])
        assert anchor.notes() == (*NOTES[: 3 if is_there else 2], NOTES[3], NOTES[3]), cut
        heads = read_heads([anchor], [KEY.public])
        assert not heads.wrong
        assert anchor.path.read_bytes().startswith(whole + note[:cut])


def test_any_byte_that_is_changed_is_noticed(anchor):
    """As a signature that is wrong or, at the very end, as a checkpoint that was cut off."""
    whole = anchor.path.read_bytes()
    for place in range(len(whole)):
        for flip in (1, 0x20, 0x80):
            data = bytearray(whole)
            data[place] ^= flip
            anchor.path.write_bytes(data)
            heads = read_heads([anchor], [KEY.public])
            assert heads.wrong or any("cut off" in one for one in heads.unchecked), (place, flip)
