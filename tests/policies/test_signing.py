"""policies.signing: who stands behind a revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.errors import SettingsError, SignatureError
from guard.note import Note, SigningKey
from policies import load, loads
from policies.signing import Trust, read_note, read_signature, sign, statement

pytestmark = pytest.mark.usefixtures("real_parts")

TEXT = """
policy: house
version: 3
status: live
checks:
  pii: {use: pii}
rules:
  - {id: mail, when: {pii: [EMAIL_ADDRESS]}, action: block}
"""
POLICY = loads(TEXT)
ANN, BOB, EVE = (SigningKey.make(name) for name in ("ann", "bob", "eve"))


def test_the_statement_is_name_version_and_revision():
    """In a form that no other note has: its first line says what it is."""
    assert statement(POLICY) == f"genguard policy\nhouse\n3\n{POLICY.revision}\n"
    assert Note.parse(sign(POLICY, ANN)).text == statement(POLICY)


def test_comments_and_tests_may_change_under_a_signature():
    """They decide nothing; whatever does is another revision."""
    note = sign(POLICY, ANN)
    trust = Trust((ANN.public,))
    assert trust.check(loads("# words\n" + TEXT), [note]) == ("ann",)
    with pytest.raises(SignatureError, match="another policy, version or revision"):
        trust.check(loads(TEXT.replace("block", "review")), [note])
    with pytest.raises(SignatureError, match="another policy, version or revision"):
        read_note(note, loads(TEXT.replace("version: 3", "version: 4")))


def test_without_keys_nothing_is_asked():
    """And with keys something is, of everything but packs."""
    assert Trust().check(POLICY, []) == ()
    trust = Trust((ANN.public,))
    assert trust.check(load("enterprise"), []) == ()
    assert Trust((ANN.public,), frozenset({POLICY.revision})).check(POLICY, []) == ()
    for notes in ([], [sign(POLICY, EVE)], ["nonsense"], [sign(POLICY, SigningKey.make("ann"))]):
        with pytest.raises(SignatureError, match="policy 'house' version 3"):
            trust.check(POLICY, notes)
    assert trust.check(POLICY, ["nonsense", sign(POLICY, ANN)]) == ("ann",)


def test_two_signatures_are_those_of_two_keys():
    """One key under two names is one."""
    trust = Trust((ANN.public, BOB.public), needed=2)
    both = sign(POLICY, BOB, sign(POLICY, ANN))
    assert trust.check(POLICY, [both]) == ("ann", "bob")
    for note in (sign(POLICY, ANN), sign(POLICY, ANN, sign(POLICY, ANN)), sign(POLICY, EVE, sign(POLICY, ANN))):
        with pytest.raises(SignatureError, match="found 1 signatures of trusted keys, expected 2"):
            trust.check(POLICY, [note])


def test_a_new_revision_starts_without_the_old_signatures():
    """They are for another text."""
    other = loads(TEXT.replace("block", "review"))
    note = Note.parse(sign(other, BOB, sign(POLICY, ANN)))
    assert [one.name for one in note.signatures] == ["bob"]


def test_public_keys_come_from_files(tmp_path: Path):
    """A line each; what is no key is named with its line."""
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n{ANN.public}\n{BOB.public}\n{ANN.public}\n", "utf-8")
    assert Trust.read([file]).keys == (ANN.public, BOB.public)
    with pytest.raises(SettingsError, match="found 2 public keys of policies, expected at least the 3"):
        Trust.read([file], 3)
    with pytest.raises(SettingsError, match="expected at least the 2"):
        Trust.read([], 2)
    assert Trust.read([]) == Trust()
    for wrong, says in (("", "no public key"), ("# none\n", "no public key"), (f"{ANN.public}\nann\n", ":2: ")):
        file.write_text(wrong, "utf-8")
        with pytest.raises(SettingsError, match=says):
            Trust.read([file])
    with pytest.raises(SettingsError, match="cannot read"):
        Trust.read([tmp_path / "none"])


def test_the_signature_lies_beside_the_file(tmp_path: Path):
    """One that cannot be read is no missing one."""
    file = tmp_path / "house.yaml"
    assert read_signature(file) == ""
    (tmp_path / "house.yaml.sig").write_text(sign(POLICY, ANN), "utf-8")
    assert Trust((ANN.public,)).check_file(POLICY, file) == read_signature(file)
    (tmp_path / "house.yaml.sig").write_bytes(b"\xff")
    with pytest.raises(SignatureError, match="cannot read"):
        Trust().check_file(POLICY, file)
