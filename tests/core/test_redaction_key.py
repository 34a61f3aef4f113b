"""guard.redaction_key, guard.sealed and guard.redact.hashed: what only holders of the key can do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guard
from guard.errors import SettingsError
from guard.redact import Keyed, hashed, redact
from guard.redaction_key import RedactionKey
from guard.sealed import CHANGED, CUT, OTHER_KEY, reveal, seal, tokens
from guard.types import Edit, Request, Span
from tests.fakes import text

KEY, OTHER = RedactionKey(bytes(range(32))), RedactionKey(bytes(32))
MAIL = "maria.keller@mail.example"


def token(value: str = MAIL, label: str = "EMAIL_ADDRESS", conversation: str = "conversation 1") -> str:
    return seal(KEY, "default", conversation, label, value)


# --- the key ---------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600; made again it is the same; nothing else stays in the folder."""
    file = tmp_path / "redaction.key"
    made = RedactionKey.make(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert RedactionKey.make(file).id == RedactionKey.read(file).id == made.id
    assert [one.name for one in tmp_path.iterdir()] == ["redaction.key"]


def test_a_key_never_shows_itself(tmp_path: Path) -> None:
    """Neither in `repr` nor in the message about one that is wrong."""
    secret = os.urandom(32)
    key = RedactionKey(secret)
    assert repr(key) == f"RedactionKey({key.id.hex()})"
    assert secret.hex()[:6] not in repr(key)
    short = base64.b64encode(secret[:16]).decode()
    (tmp_path / "short.key").write_text(short)
    with pytest.raises(SettingsError, match="does not hold a redaction key, expected 32 bytes") as caught:
        RedactionKey.read(tmp_path / "short.key")
    assert short not in caught.value.diagnostics()


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff\xfe", base64.b64encode(bytes(31))])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """With the file's name and what to do."""
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(SettingsError, match="key") as caught:
        RedactionKey.read(tmp_path / "key")
    assert "GENGUARD_REDACTION_KEY" in caught.value.diagnostics()


def test_a_key_that_is_not_there_or_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        RedactionKey.read(tmp_path / "none.key")
    with pytest.raises(SettingsError, match="cannot write"):
        RedactionKey.make(tmp_path / "no folder" / "new.key")
    with pytest.raises(SettingsError, match="found a redaction key of 3 bytes, expected 32"):
        RedactionKey(b"abc")


def test_each_purpose_has_a_subkey_of_its_own() -> None:
    """And the parts of a message do not run into one another."""
    assert len({KEY.subkey(purpose) for purpose in ("hash", "pseudonymise", "encrypt")}) == 3
    assert KEY.subkey("encrypt", 64) != KEY.subkey("encrypt") * 2
    assert KEY.mac("hash", "ab", "c") != KEY.mac("hash", "a", "bc")
    assert KEY.mac("hash", "a") != OTHER.mac("hash", "a")


def test_the_derivation_stays_what_it_is() -> None:
    """Another one would make what was encrypted before unreadable, and hashes no longer join."""

    def subkey(purpose: str) -> bytes:
        return hmac.digest(bytes(range(32)), f"genguard/v1/redaction/{purpose}".encode() + b"\x01", "sha256")

    assert KEY.id == subkey("key-id")[:3]
    parts = [b"default", b"EMAIL_ADDRESS", MAIL.encode()]
    message = b"".join(len(part).to_bytes(8) + part for part in parts)
    digest = hmac.digest(subkey("hash"), message, "sha256").hex()
    assert hashed(KEY, "default", "EMAIL_ADDRESS", MAIL) == f"[EMAIL_ADDRESS:{digest[:20]}]"
    kept = "[EMAIL_ADDRESS:enc:64YMnzFIXBq3VD__ILSMKZFkPRTguF2KFz_2J-Pye5Gl-YX_RjrcBeXGFoapA0JteSKlBA]"
    assert reveal(kept, KEY).text == MAIL
    assert token() == kept


# --- hash ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "one", "other"),
    [
        ("EMAIL_ADDRESS", "Maria@Mail.example", "maria@mail.example"),
        ("PERSON", "Maria  KELLER", "maria keller"),
        ("PERSON", "Ｍａｒｉａ Keller", "Maria Keller"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "4111-1111-1111-1111"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("PHONE_NUMBER", "+86 138 1234 5678", "13812345678"),
        ("PHONE_NUMBER", "+1 (212) 555-2368", "212.555.2368"),
        ("PHONE_NUMBER", "0044 20 7946 0000", "+44 20 79460000"),
    ],
)
def test_spellings_of_one_value_have_one_hash(label: str, one: str, other: str) -> None:
    assert hashed(KEY, "default", label, one) == hashed(KEY, "default", label, other)


@pytest.mark.parametrize(
    ("label", "one", "other"),
    [
        ("IP_ADDRESS", "1.1.1.11", "11.1.1.1"),
        ("DATE_OF_BIRTH", "1990-1-11", "1990-11-1"),
        ("PHONE_NUMBER", "+44 20 7946 0000", "+44 20 7946 0001"),
        ("PERSON", "Maria Keller", "Mario Keller"),
    ],
)
def test_different_values_have_different_hashes(label: str, one: str, other: str) -> None:
    assert hashed(KEY, "default", label, one) != hashed(KEY, "default", label, other)


def test_a_hash_depends_on_key_tenant_and_label_and_not_on_the_conversation() -> None:
    """Records of one tenant can be joined by it; nobody without the key can try values."""
    mine = hashed(KEY, "default", "EMAIL_ADDRESS", MAIL)
    assert mine not in {
        hashed(OTHER, "default", "EMAIL_ADDRESS", MAIL),
        hashed(KEY, "acme", "EMAIL_ADDRESS", MAIL),
        hashed(KEY, "default", "URL", MAIL),
    }
    assert hashlib.sha256(MAIL.encode()).hexdigest()[:20] not in mine
    edits = [Edit(Span(0, len(MAIL)), "hash", "EMAIL_ADDRESS", "r")]
    for conversation in ("1", "2"):
        assert redact(text(MAIL, request=Request("r", conversation=conversation)), edits, KEY).text == mine


# --- encrypt ---------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1), st.text(min_size=1, max_size=100))
def test_what_was_sealed_comes_back(value: str, label: str) -> None:
    """Whatever value and label: the token has no space, and the text around it stays."""
    sealed = token(value, label)
    assert not any(one.isspace() for one in sealed)
    revealed = reveal(f"a {sealed}b", KEY)
    assert (revealed.text, revealed.found, revealed.opened) == (f"a {value}b", 1, 1)


def test_one_value_has_one_token_in_a_conversation_and_another_elsewhere() -> None:
    """So that an encrypted text shows no more than that, and can be made again."""
    assert token() == token()
    assert token() != token(conversation="conversation 2")
    assert token() != token(label="URL")
    assert token() != seal(KEY, "acme", "conversation 1", "EMAIL_ADDRESS", MAIL)


def test_every_single_change_to_a_token_is_noticed() -> None:
    """It stays in the text as it is; the others open."""
    whole = token()
    other = token("Maria", "PERSON")
    start = whole.index(":enc:") + 5
    for index in range(start, len(whole) - 1):
        wrong = whole[:index] + ("A" if whole[index] != "A" else "B") + whole[index + 1 :]
        revealed = reveal(f"{wrong} and {other}", KEY)
        assert revealed.text == f"{wrong} and Maria"
        assert [(one.start, one.label) for one in revealed.closed] == [(0, "EMAIL_ADDRESS")]
        assert revealed.closed[0].why == CHANGED


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (token().replace("EMAIL_ADDRESS", "PERSON"), CHANGED),
        (token()[:-1], CUT),
        (token()[:-9], CUT),
        (token()[:-9] + "]", CHANGED),
        (token()[:-1] + "=]", CHANGED),
        (token()[:-1] + "!]", CHANGED),
        (seal(OTHER, "default", "c", "PERSON", "Maria"), OTHER_KEY),
        ("[PERSON:enc:]", CHANGED),
        ("[PERSON:enc:AAAA]", CHANGED),
    ],
)
def test_a_token_that_does_not_open_says_why(wrong: str, why: str) -> None:
    """The place counts in the text that comes out."""
    revealed = reveal(f"{token('x')} {wrong}", KEY)
    assert revealed.text == f"x {wrong}"
    assert [(one.start, one.why) for one in revealed.closed] == [(2, why)]


def test_a_text_without_tokens_comes_back_as_it_is() -> None:
    plain = "[EMAIL_ADDRESS] enc: [a:b] [] :enc: [x :enc:y]"
    assert (reveal(plain, KEY).text, reveal(plain, KEY).found) == (plain, 0)


def test_a_token_inside_an_encrypted_value_is_opened_too() -> None:
    """A second guard may have encrypted a longer place."""
    outer = token(f"Dr {token('Maria')} Keller", "PERSON")
    assert reveal(outer, KEY) == reveal("Dr Maria Keller", KEY).__class__("Dr Maria Keller", 2, ())


@pytest.mark.parametrize("operator", ["mask", "replace", "encrypt", "pseudonymise", "hash", "remove"])
def test_what_is_encrypted_already_is_not_redacted_again(operator: str) -> None:
    """A check may take a piece of ciphertext for a secret: cutting it would lose the value and hide nothing."""
    sealed = token()
    start = sealed.index(":enc:") + 10
    edits = [Edit(Span(start, start + 12), operator, "API_KEY", "r")]
    assert redact(text(sealed), edits, KEY).text == sealed
    forged = sealed[:-3] + "AA]"
    assert redact(text(forged), edits, KEY).text != forged


def test_many_brackets_do_not_take_long() -> None:
    """Reading tokens is linear, whatever somebody writes."""
    for piece in ("[", "[a:enc:", "[" + "a" * 79, ":enc:", "]"):
        hostile = piece * (200_000 // len(piece))
        assert reveal(hostile, KEY).text == hostile
        assert list(tokens(hostile, KEY)) == []


def test_the_package_offers_the_key_and_the_way_back() -> None:
    """`guard.reveal(text, guard.RedactionKey.read(path))`."""
    assert guard.reveal(token(), guard.RedactionKey(bytes(range(32)))).text == MAIL


@pytest.mark.parametrize(
    ("fields", "conversation"),
    [
        ({"conversation": "c", "subject": "s"}, "conversation c"),
        ({"subject": "s"}, "subject s"),
        ({}, "request r"),
    ],
)
def test_what_counts_as_a_conversation(fields: dict[str, str], conversation: str) -> None:
    """What the caller calls one, else one subject, else one request with its answers."""
    assert Keyed.of(KEY, Request("r", **fields)).conversation == conversation
