"""audit.checkpoint and audit.proof: signed tree heads, and files that prove an entry offline."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle
from audit.checkpoint import Checkpoint
from audit.proof import HEADER, Proof, ProofError
from guard.errors import SignatureError
from guard.note import SigningKey

KEY = SigningKey("genguard.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
BODIES = [f'{{"entry":{number}}}'.encode() for number in range(11)]
LEAVES = [merkle.leaf_hash(body) for body in BODIES]
HEAD = Checkpoint("genguard.example/log", len(LEAVES), merkle.tree_root(LEAVES))


def proof(index: int) -> Proof:
    """Of one of the bodies."""
    return Proof(index, tuple(merkle.inclusion_proof(LEAVES, index)), HEAD.signed(KEY), BODIES[index])


@pytest.mark.parametrize("index", range(11))
def test_a_proof_file_proves_its_entry(index: int) -> None:
    """Read back from its text, by the log's public key."""
    read = Proof.parse(str(proof(index)))
    assert read == proof(index)
    assert read.verify([KEY.public], origin="genguard.example/log") == HEAD


def test_the_file_has_the_form_of_the_specification() -> None:
    """Header, extra data, index, path from the leaf upwards, empty line, checkpoint as it was signed."""
    lines = str(proof(10)).split("\n")
    assert lines[0] == HEADER
    assert lines[1] == "extra " + base64.b64encode(BODIES[10]).decode()
    assert lines[2] == "index 10"
    assert lines[3] == base64.b64encode(merkle.tree_root(LEAVES[8:10])).decode()
    assert lines[4:6] == [base64.b64encode(merkle.tree_root(LEAVES[:8])).decode(), ""]
    assert "\n".join(lines[6:]) == HEAD.signed(KEY)


def test_the_body_may_come_from_elsewhere() -> None:
    """A file without it needs one."""
    bare = Proof(3, proof(3).path, HEAD.signed(KEY))
    assert "extra" not in str(bare)
    assert Proof.parse(str(bare)).verify([KEY.public], body=BODIES[3]) == HEAD
    with pytest.raises(ProofError, match="without the entry's body"):
        bare.verify([KEY.public])


def test_what_was_changed_does_not_prove() -> None:
    """Body, index, path, root, size, origin, key."""
    good = proof(3)
    bad_path = (good.path[0][::-1], *good.path[1:])
    other = Checkpoint(HEAD.origin, HEAD.size, HEAD.root[::-1]).signed(KEY)
    longer = Checkpoint(HEAD.origin, HEAD.size + 100, HEAD.root).signed(KEY)
    for bad in (
        Proof(4, good.path, good.checkpoint, good.body),
        Proof(3, bad_path, good.checkpoint, good.body),
        Proof(3, good.path[:-1], good.checkpoint, good.body),
        Proof(3, good.path, other, good.body),
        Proof(3, good.path, longer, good.body),
        Proof(3, good.path, good.checkpoint, good.body + b" "),
        Proof(11, good.path, good.checkpoint, good.body),
    ):
        with pytest.raises(ProofError, match="does not lead to the signed root"):
            bad.verify([KEY.public])
    with pytest.raises(SignatureError, match="expected 'elsewhere'"):
        good.verify([KEY.public], origin="elsewhere")
    with pytest.raises(SignatureError, match="expected one of a key that is trusted"):
        good.verify([SigningKey(KEY.name, Ed25519PrivateKey.generate()).public])
    with pytest.raises(SignatureError):
        Proof(3, good.path, good.checkpoint.replace("\n11\n", "\n12\n"), good.body).verify([KEY.public])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no proof file"),
        (HEADER, "no proof file"),
        (f"{HEADER}\n\nnote\n", "no index"),
        (f"{HEADER}\nindex 01\n\nnote\n", "no index"),
        (f"{HEADER}\nindex -1\n\nnote\n", "no index"),
        (f"{HEADER}\nextra !!\nindex 1\n\nnote\n", "no base64"),
        (f"{HEADER}\nindex 1\nAAAA\n\nnote\n", "another length"),
        (f"{HEADER}\nindex 1\n" + f"{base64.b64encode(bytes(32)).decode()}\n" * 65 + "\nnote\n", "65 hashes"),
    ],
)
def test_what_is_no_proof_is_refused(text: str, words: str) -> None:
    """With what was found."""
    with pytest.raises(ProofError, match=words):
        Proof.parse(text)


@given(st.text(max_size=100))
def test_any_text_is_a_proof_or_refused(text: str) -> None:
    """Never another error, whatever follows the header."""
    for whole in (text, f"{HEADER}\n{text}", f"{HEADER}\nindex 0\n\n{text}"):
        try:
            Proof.parse(whole).verify([KEY.public], body=b"x")
        except SignatureError:
            continue


@pytest.mark.parametrize(
    "text",
    ["", "a\n1\n", "a\n01\nAAAA\n", "\n1\nx\n", "a\n1\nAAAA\n", "a\n1\n" + base64.b64encode(bytes(32)).decode() + "\nmore\n"],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Sizes have one spelling, roots 32 bytes, and there is nothing after them."""
    with pytest.raises(SignatureError):
        Checkpoint.parse(text)
