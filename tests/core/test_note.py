"""guard.note: signed notes in the form of c2sp.org/signed-note."""

from __future__ import annotations

import base64
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.errors import SettingsError, SignatureError
from guard.note import Note, PublicKey, Signature, SigningKey, signers, verify

TEXT = "genguard policy\nhouse\n3\nabc\n"
# The first test vector of golang.org/x/mod/sumdb/note, whose form the specification took over.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
VECTOR = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_other_software_verifies():
    """Its key line comes back as it was, too."""
    key = PublicKey.parse(PETER)
    assert str(key) == PETER
    note = Note.parse(VECTOR)
    assert str(note) == VECTOR
    assert verify(note, [key]) == ("PeterNeumann",)


def test_several_sign_and_any_trusted_one_is_enough():
    """Signatures of strangers are ignored, also under a known name."""
    ann, bob, other = SigningKey.make("ann"), SigningKey.make("example.com/bob"), SigningKey.make("ann")
    note = bob.sign(TEXT, ann.sign(TEXT).signatures)
    assert [one.name for one in note.signatures] == ["ann", "example.com/bob"]
    again = Note.parse(str(note).encode())
    assert again == note
    assert verify(again, [ann.public]) == ("ann",)
    assert verify(again, [bob.public, ann.public]) == ("ann", "example.com/bob")
    assert signers(again, [bob.public, other.public]) == (bob.public,)
    with pytest.raises(SignatureError, match="expected one of a key that is trusted"):
        verify(note, [other.public])
    assert len(ann.sign(TEXT, note.signatures).signatures) == 2


def test_a_wrong_signature_of_a_known_key_spoils_the_note():
    """Even beside a good one of another."""
    ann, bob = SigningKey.make("ann"), SigningKey.make("bob")
    note = bob.sign(TEXT, ann.sign(TEXT).signatures)
    moved = Note(TEXT.replace("3", "4"), note.signatures)
    with pytest.raises(SignatureError, match="does not hold"):
        verify(moved, [ann.public])
    bad = Note(TEXT, (note.signatures[0], Signature("bob", bob.public.key_id, bytes(64))))
    with pytest.raises(SignatureError, match="'bob' does not hold"):
        verify(bad, [ann.public, bob.public])
    assert verify(bad, [ann.public]) == ("ann",)


GOOD = str(SigningKey.make("ann").sign(TEXT))
LINE = GOOD.splitlines()[-1]


@pytest.mark.parametrize(
    "wrong",
    [
        "", "\n", TEXT, TEXT + "\n", GOOD[:-1], GOOD + "\n", GOOD.replace("\u2014", "-"), GOOD.replace("\n\n", "\n"),
        GOOD.replace("house", "ho\tuse"), GOOD.replace("\n", "\r\n"), GOOD + "x\n", GOOD.replace("\u2014 ann", "\u2014 a+n"),
        GOOD.replace("\u2014 ann", "\u2014 "), GOOD.replace("\u2014 ann", "\u2014 a\u00a0n"), GOOD.replace(LINE, LINE + " x"),
        GOOD.replace(LINE, LINE.rstrip("=") + "!"), GOOD.replace(LINE, "\u2014 ann QUJDRA=="), "\udc80" + GOOD,
        GOOD.replace(LINE, "\u2014 ann QUJDREVG\u200b"), TEXT + "\n" + (LINE + "\n") * 101, "x" * 1_000_001 + GOOD,
    ],
)  # fmt: skip
def test_whatever_is_not_exactly_a_note_is_refused(wrong):
    """Line ends, spaces, control characters, other dashes, sizes."""
    with pytest.raises(SignatureError):
        Note.parse(wrong)


def test_base64_has_one_spelling():
    """Bits that nobody reads are zero."""
    data = base64.b64encode(b"1234" + b"x" * 61).decode()
    loose = data[:-2] + chr(ord(data[-2]) + 1) + data[-1]
    assert base64.b64decode(loose) == base64.b64decode(data)
    assert Note.parse(f"a\n\n\u2014 n {data}\n")
    with pytest.raises(SignatureError):
        Note.parse(f"a\n\n\u2014 n {loose}\n")


inserted = st.builds(lambda at, put: GOOD[:at] + put + GOOD[at:], st.integers(0, len(GOOD)), st.text(max_size=3))


@given(st.text(max_size=60) | st.binary(max_size=60) | inserted)
def test_any_text_is_a_note_of_one_spelling_or_refused(data):
    """What is read comes back as it was."""
    try:
        note = Note.parse(data)
    except SignatureError:
        return
    assert str(note).encode() == (data.encode() if isinstance(data, str) else data)


@pytest.mark.parametrize(
    "wrong",
    ["", "ann", PETER[:-1], PETER.replace("c74f", "c74e"), PETER.replace("+AR", "+Ag"), "a b+00000000+AQ==", PETER + "+"],
)
def test_a_changed_key_line_is_refused(wrong):
    """Name, id and key belong together."""
    with pytest.raises(SignatureError):
        PublicKey.parse(wrong)


def test_a_private_key_is_kept_for_its_owner_alone(tmp_path):
    """Mode 0600, never written over, read back with its name; shown by nobody."""
    made, path = SigningKey.make("ann"), tmp_path / "ann.key"
    made.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        made.write(path)
    read = SigningKey.read(path)
    assert (read.name, read.public) == ("ann", made.public)
    assert verify(read.sign(TEXT), [made.public]) == ("ann",)
    assert "Private" not in repr(made)
    assert SigningKey.read(path, "other").name == "other"


@pytest.mark.parametrize("content", [b"", b"text", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_key_is_refused_and_not_quoted(tmp_path, content):
    """Nor one that is not there, or a key without a name."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="holds no signing key") as error:
        SigningKey.read(path)
    assert "AAAA" not in error.value.diagnostics()
    with pytest.raises(SettingsError, match="cannot read"):
        SigningKey.read(tmp_path / "none")
    SigningKey.make("ann").write(tmp_path / "ann.key")
    bare = (tmp_path / "ann.key").read_bytes().partition(b"\n")[2]
    path.write_bytes(bare)
    with pytest.raises(SettingsError, match="name"):
        SigningKey.read(path)
    assert SigningKey.read(path, "ann").name == "ann"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u3000b"])
def test_a_name_that_no_note_can_carry_is_refused(name):
    """When the key is made."""
    with pytest.raises(SignatureError):
        SigningKey.make(name)
