"""Opening a ledger: URLs, files, folders and keys that cannot be used."""

from __future__ import annotations

import base64
import os
import sqlite3
import stat

import pytest
from ledger_examples import DOCUMENT, REVISION, decision

from audit.keys import default_key_file
from audit.ledger import open_ledger
from audit.query import show
from audit.vault import SealError, Vault, open_payload
from audit.verify import verify
from guard.errors import LedgerError


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/genguard", "expected sqlite or postgresql"),
        ("postgresql://localhost", "without a database"),
        ("sqlite+aiosqlite:///x.db", "expected sqlite or postgresql"),
        ("sqlite://", "not durable"),
        ("sqlite:///:memory:", "not durable"),
        ("sqlite://x.db", "with a host"),
        ("sqlite:///x.db?mode=ro", "options"),
        ("genguard.db", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url, message):
    """With what was expected, and advice."""
    with pytest.raises(LedgerError, match=message) as caught:
        open_ledger(url)
    assert caught.value.advice


def test_a_missing_folder_is_named(tmp_path):
    """The ledger makes its file, not its folder."""
    with pytest.raises(LedgerError, match="there is no folder"):
        open_ledger(f"sqlite:///{tmp_path}/none/ledger.db")
    assert not (tmp_path / "none").exists()


def test_a_file_that_is_no_database_is_refused_and_left_alone(path, url):
    """Nobody's file is overwritten."""
    path.write_bytes(b"a letter to a friend, of more than a hundred bytes " * 40)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="not a database"):
        open_ledger(url)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused(path, url):
    """The ledger does not move in with others."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE friends (name TEXT)")
    with pytest.raises(LedgerError, match="without the tables"):
        open_ledger(url)


def test_a_damaged_ledger_is_not_built_upon(path, url):
    """A head that does not fit the entries stops the writer, at opening and later."""
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE head SET size = 1, frontier = zeroblob(32)")
        with pytest.raises(LedgerError, match="damaged"):
            opened.append_sync(decision())
    with pytest.raises(LedgerError, match="damaged"):
        open_ledger(url)


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    """Whatever folder the process goes to after opening."""
    monkeypatch.chdir(tmp_path)
    with open_ledger("sqlite:///ledger.db") as opened:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        assert opened.append_sync(decision()).index == 2
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_new_ledger_makes_its_key_for_its_owner_alone(path, url):
    """A file beside the database, mode 0600, 32 bytes as base64; made once."""
    open_ledger(url).close()
    file = default_key_file(path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(base64.b64decode(file.read_text())) == 32
    before = file.read_bytes()
    open_ledger(url).close()
    assert file.read_bytes() == before
    assert not [name for name in path.parent.iterdir() if name.name.startswith(".")]


def test_a_lost_key_is_never_replaced_silently(path, url):
    """A new key would open nothing; the error says what to do."""
    open_ledger(url).close()
    default_key_file(path).unlink()
    with pytest.raises(LedgerError, match="no master key") as caught:
        open_ledger(url)
    assert "backup" in caught.value.advice
    assert not default_key_file(path).exists()


def test_a_wrong_key_is_refused(path, url, tmp_path, monkeypatch):
    """By file and by environment; what is no key at all too."""
    open_ledger(url).close()
    monkeypatch.setenv("GENGUARD_MASTER_KEY", base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(LedgerError, match="is not the one of"):
        open_ledger(url)
    monkeypatch.setenv("GENGUARD_MASTER_KEY", "short")
    with pytest.raises(LedgerError, match="does not hold a master key") as caught:
        open_ledger(url)
    assert "short" not in str(caught.value)
    open_ledger(url, key_file=default_key_file(path)).close()
    with pytest.raises(LedgerError, match="no master key"):
        open_ledger(url, key_file=tmp_path / "none.key")


def test_the_key_may_come_from_the_environment(path, url, monkeypatch):
    """Then no file is made; reading and verifying use it too."""
    monkeypatch.setenv("GENGUARD_MASTER_KEY", base64.b64encode(bytes(range(32))).decode())
    made = decision()
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        opened.append_sync(made)
    assert not default_key_file(path).exists()
    assert show(url, made.id, reveal=True).payloads[0].data == made.content.payload()
    assert verify(url).checked["payloads_opened"] == 2
    monkeypatch.delenv("GENGUARD_MASTER_KEY")
    assert show(url, made.id, reveal=True).payloads[0].why == "the master key is not here"


def test_a_seal_opens_only_where_it_belongs():
    """Under its subject's key, for its decision and its part, unchanged."""
    vault = Vault(bytes(32))
    key, other = vault.key("acme", "a"), vault.key("acme", "b")
    decision_id = bytes(range(16))
    sealed = vault.seal(decision_id, "original", key, b"secret")
    cipher = vault.open_key(key.id, "acme", "a", key.wrapped)
    assert open_payload(cipher, decision_id, "original", sealed.wrapped, sealed.nonce, sealed.ciphertext) == (
        b"secret",
        sealed.commit,
    )
    flipped = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    for arguments in (
        (other.cipher, decision_id, "original", sealed.wrapped, sealed.nonce, sealed.ciphertext),
        (cipher, bytes(16), "original", sealed.wrapped, sealed.nonce, sealed.ciphertext),
        (cipher, decision_id, "released", sealed.wrapped, sealed.nonce, sealed.ciphertext),
        (cipher, decision_id, "original", sealed.wrapped, sealed.nonce, flipped),
        (cipher, decision_id, "original", sealed.wrapped[:-1], sealed.nonce, sealed.ciphertext),
        (cipher, decision_id, "original", b"", b"", b""),
    ):
        with pytest.raises(SealError):
            open_payload(*arguments)
    for arguments in ((key.id, "acme", "b", key.wrapped), (other.id, "acme", "a", key.wrapped)):
        with pytest.raises(SealError):
            vault.open_key(*arguments)
    with pytest.raises(SealError):
        Vault(bytes([1] * 32)).open_key(key.id, "acme", "a", key.wrapped)


def test_two_seals_of_one_text_have_nothing_in_common():
    """Salt, key and nonce are fresh each time: equal contents cannot be told from the log."""
    vault = Vault(bytes(32))
    one, two = (vault.seal(bytes(16), "original", vault.key("t", ""), b"same") for _ in range(2))
    assert one.commitment["commit"] != two.commitment["commit"]
    assert one.ciphertext != two.ciphertext
    assert "same" not in repr(one)


def test_payloads_of_one_decision_share_a_key_and_nothing_else():
    """Each opens by itself, in its own place; the shared key is not shown."""
    vault = Vault(bytes(32))
    key, record = vault.key("t", ""), vault.record()
    parts = {part: vault.seal(bytes(16), part, key, b"same", record) for part in ("original", "released")}
    one, two = parts.values()
    assert {one.nonce, one.wrapped, one.ciphertext, one.commit}.isdisjoint({two.nonce, two.wrapped, two.ciphertext, two.commit})
    assert one.wrapped[:12] != two.wrapped[:12] != two.nonce
    for part, sealed in parts.items():
        opened = open_payload(key.cipher, bytes(16), part, sealed.wrapped, sealed.nonce, sealed.ciphertext)
        assert opened == (b"same", sealed.commit)
    with pytest.raises(SealError):
        open_payload(key.cipher, bytes(16), "released", one.wrapped, two.nonce, two.ciphertext)
    assert repr(record) == "Record()"
