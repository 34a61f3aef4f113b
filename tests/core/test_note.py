"""guard.note: notes signed by named keys, in the format of C2SP."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from guard.note import COSIGNATURE, NoteError, SignerKey, VerifierKey, cosign, parse, sign, verify

ANN = SignerKey("genguard.example/ann", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
BOB = SignerKey("bob", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
WITNESS = SignerKey("witness.example/w1", Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34))), COSIGNATURE)
TEXT = "genguard.example/log\n42\nnMqbcFS6fnTAMSwgKnJQW0Kr7CBKWbzoHhe9ncZqbxY=\n"

# Published with the specification of Go's checksum database, which the format comes from.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_published_note_is_verified() -> None:
    """By its published key."""
    verified = verify(PETERS_NOTE, [VerifierKey.parse(PETER)])
    assert verified.text.startswith("If you think cryptography is the answer")
    assert [key.name for key in verified.keys] == ["PeterNeumann"]
    assert str(VerifierKey.parse(PETER)) == PETER


def test_what_is_signed_is_verified_and_says_by_whom() -> None:
    """Signatures of keys that are not known are passed over."""
    note = sign(TEXT, ANN, BOB)
    assert note.startswith(TEXT + "\n\u2014 genguard.example/ann ")
    assert verify(note, [BOB.verifier]).keys == (BOB.verifier,)
    assert verify(note, [BOB.verifier, ANN.verifier]).keys == (ANN.verifier, BOB.verifier)
    assert verify(note, [ANN.verifier]).text == TEXT


def test_a_witness_signs_with_its_time() -> None:
    """Which is part of what it signs."""
    note = cosign(sign(TEXT, ANN), WITNESS, time=1_679_315_147)
    verified = verify(note, [ANN.verifier, WITNESS.verifier])
    assert verified.times == (0, 1_679_315_147)
    line = note.splitlines()[-1]
    data = bytearray(base64.b64decode(line.split(" ")[2]))
    data[11] ^= 1
    moved = note.replace(line, f"{line.rsplit(' ', 1)[0]} {base64.b64encode(bytes(data)).decode()}")
    with pytest.raises(NoteError, match="is not right"):
        verify(moved, [WITNESS.verifier])


@given(st.integers(0, len(TEXT) - 2), st.integers(1, 60))
def test_one_changed_character_is_noticed(place: int, by: int) -> None:
    """Wherever it is in the text."""
    changed = TEXT[:place] + chr(33 + (ord(TEXT[place]) + by) % 90) + TEXT[place + 1 :]
    if changed != TEXT:
        with pytest.raises(NoteError):
            verify(sign(TEXT, ANN).replace(TEXT, changed, 1), [ANN.verifier])


def test_a_wrong_signature_of_a_known_key_rejects_the_note_beside_right_ones() -> None:
    """And so does a note that no known key signed."""
    forged = SignerKey("bob", Ed25519PrivateKey.generate())
    with pytest.raises(NoteError, match="expected one of a known key: genguard"):
        verify(sign(TEXT, forged), [ANN.verifier])
    note = sign(TEXT, ANN) + BOB.line("another\n")
    with pytest.raises(NoteError, match="'bob' that is not right"):
        verify(note, [ANN.verifier, BOB.verifier])
    assert verify(note, [ANN.verifier]).keys == (ANN.verifier,)
    with pytest.raises(NoteError, match="none is known"):
        verify(note, [])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\nsigned\n",
        "text\n\n\u2014 ann\n",
        "text\n\n\u2014 ann AAAA\n",
        "text\n\n\u2014 ann !!!!\n",
        "text\n\n\u2014 a+n AAAAAAAAAAAA\n",
        "text\n\n\u2014 ann AAAAAAAAAAAA",
        "te\txt\n\n\u2014 ann AAAAAAAAAAAA\n",
        "te\x00xt\n\n\u2014 ann AAAAAAAAAAAA\n",
        "te\ud800xt\n\n\u2014 ann AAAAAAAAAAAA\n",
        "text\n\n" + "\u2014 ann AAAAAAAAAAAA\n" * 101,
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    """With an error of ours."""
    with pytest.raises(NoteError):
        parse(note)


@given(st.text(max_size=200))
def test_any_text_is_a_note_or_refused(text: str) -> None:
    """Never another error."""
    try:
        parse(text)
    except NoteError:
        return


@pytest.mark.parametrize(
    "key",
    ["", "ann", "ann+c74f20a3", PETER.replace("c74f20a3", "c74f20a4"), PETER.replace("+AR", "+AQ"), PETER[:-4], "a n+" + PETER],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    """A key id has to be the key's own."""
    with pytest.raises(NoteError):
        VerifierKey.parse(key)


def test_a_name_that_no_line_can_hold_is_refused() -> None:
    """Nor does a private key ever show."""
    with pytest.raises(NoteError, match="without spaces"):
        SignerKey("ann smith", Ed25519PrivateKey.generate())
    assert "private" not in repr(ANN)
    with pytest.raises(NoteError, match="at least one"):
        sign(TEXT)
