"""audit.erasure: what is erased is nowhere in the files any more, and the log is as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from ledger_examples import decision, picture
from sqlalchemy import text

from audit.certificate import Certificate, certify
from audit.checkpoint import Checkpoint
from audit.erasure import erase
from audit.holds import active_holds, lift_hold, set_hold
from audit.ledger import open_ledger
from audit.log_key import need_log_key
from audit.proof import Proof
from audit.prove import prove
from audit.query import identity, reading, show
from audit.scrub import remains, scrub
from audit.verify import verify
from guard.errors import InputError, LedgerError, RefusedError, SignatureError
from guard.types import Action

WHO = {"actor": "ann", "reason": "asked for by the person"}


def files(path) -> dict[str, bytes]:
    """Every file of the database: itself, log, index of the log."""
    return {one.name: one.read_bytes() for one in path.parent.glob(f"{path.name}*") if not one.name.endswith(".key")}


def rows(path, statement: str, *values) -> list[tuple]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement, values).fetchall()


def secrets_of(path, subject: str) -> list[bytes]:
    """All that only this subject's content has: wrapped keys, sealed payloads, sealed fingerprints."""
    found = rows(path, "SELECT wrapped FROM subject_key WHERE subject = ?", subject)
    of = "JOIN subject_key k ON k.id = key WHERE k.subject = ?"
    for part in ("payload.wrapped", "payload.ciphertext", "payload.nonce"):
        found += rows(path, f"SELECT {part} FROM payload {of}", subject)
    found += rows(path, f"SELECT sealed FROM fingerprint {of}", subject)
    return [one for (one,) in found]


def test_an_erased_subject_is_nowhere_in_the_files_and_proofs_still_verify(ledger, path, url):
    """Searched byte by byte, in the database, its log and its index, while another ledger has it open."""
    texts = [f"the very private words number {number} of one person" for number in range(30)]
    with open_ledger(url) as second:
        receipts = []
        for number, words in enumerate(texts):
            opened = (ledger, second)[number % 2]
            receipts.append(opened.append_sync(decision(Action.ALLOW, number=number, data=words, subject="person-7")))
            opened.append_sync(decision(Action.REDACT, number=100 + number, subject=f"other-{number}"))
        ledger.append_sync(picture(500, b"\x89PNG of person seven", subject="person-7"))
        key = need_log_key(path, identity(url))
        note = str(Checkpoint(key.name, ledger.size, bytes.fromhex(verify(url).root)).signed(key))
        proofs = [prove(url, receipt.index, note) for receipt in receipts]
        gone = secrets_of(path, "person-7")
        assert len(gone) == 2 + 3 * 31 + 1
        before = files(path)
        assert all(any(secret in data for data in before.values()) for secret in gone)
        erased = erase(ledger, "person-7", **WHO, basis="GDPR Art. 17(1)(b)")
        assert (erased.trouble, erased.count("keys"), erased.count("payloads"), erased.count("fingerprints")) == ("", 2, 31, 1)
        after = files(path)
        for piece in [*gone, *(words.encode() for words in texts), *(secret[:16] for secret in gone)]:
            assert not any(piece in data for data in after.values())
    for proof, receipt in zip(proofs, receipts, strict=True):
        assert Proof.parse(str(proof)).verify([key.public]).size == 63
        assert show(url, receipt.index, reveal=True).payloads[0].why == "it was erased, as entry 63 says"
    report = verify(url)
    assert (report.ok, report.exit_code, report.checked["subject_keys"]) == (True, 3, 30)
    assert [(gap.idx, gap.payloads, gap.bodies) for gap in report.gaps] == [(erased.index, 31, 0)]
    assert "31 payloads by entry 63 (erasure: asked for by the person)" in str(report.gaps[0])


def test_another_process_that_still_has_the_key_seals_anew(ledger, path, url):
    """What it appends later is not lost, and not readable with what was destroyed."""
    with open_ledger(url) as second:
        second.append_sync(decision(number=1, subject="person-7"))
        (gone,) = rows(path, "SELECT id FROM subject_key WHERE subject = 'person-7'")
        erase(ledger, "person-7", **WHO)
        later = second.append_sync(decision(number=2, subject="person-7"))
        assert gone not in rows(path, "SELECT id FROM subject_key")
        assert show(url, later.index, reveal=True).payloads[0].data
    report = verify(url)
    assert (report.exit_code, report.checked["payloads_opened"], report.gaps[0].payloads) == (3, 2, 2)
    again = erase(ledger, "person-7", **WHO)
    assert (again.again, again.count("payloads")) == (False, 2)
    assert [gap.payloads for gap in verify(url).gaps] == [2, 2]


def test_a_subject_of_one_tenant_only(ledger, url):
    """The same id of another tenant stays."""
    for number, tenant in enumerate(("acme", "umbrella")):
        ledger.append_sync(decision(number=number, tenant=tenant, subject="person-7"))
    assert erase(ledger, "person-7", tenant="acme", **WHO).count("keys") == 1
    assert [bool(show(url, idx, reveal=True).payloads[0].data) for idx in (2, 3)] == [False, True]
    assert verify(url).exit_code == 3
    assert erase(ledger, "person-7", **WHO).count("keys") == 1


def test_an_erasure_may_be_repeated_and_changes_nothing_more(ledger, url):
    """As after a crash between the commit and the overwriting."""
    ledger.append_sync(decision(subject="person-7"))
    first, size = erase(ledger, "person-7", **WHO), ledger.size
    second = erase(ledger, "person-7", **WHO)
    assert (second.again, second.index, second.event, second.leaf) == (True, first.index, first.event, first.leaf)
    assert ledger.size == size
    assert verify(url).exit_code == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [({"subject": " "}, "no subject"), ({"reason": " "}, "no reason"), ({"subject": "nobody"}, "nothing of subject")],
)
def test_an_erasure_needs_a_subject_and_a_reason(ledger, given, words):
    """And something to erase."""
    ledger.append_sync(decision(subject="person-7"))
    with pytest.raises(InputError, match=words):
        erase(ledger, **{"subject": "person-7", **WHO, **given})


def test_what_is_missing_without_an_erasure_is_a_finding(ledger, path, url):
    """A key or a payload of somebody else, a payload of later, one more than was stated; and what came back."""
    for number in range(4):
        ledger.append_sync(decision(number=number, subject=f"person-{number % 2}"))
    kept = rows(path, "SELECT * FROM payload WHERE idx = 2")
    keys = rows(path, "SELECT * FROM subject_key WHERE subject = 'person-0'")
    erase(ledger, "person-0", **WHO)
    ledger.append_sync(decision(number=9, subject="person-0"))
    assert verify(url).exit_code == 3
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement, values in (
            ("DELETE FROM payload WHERE idx = 3", [()]),
            ("DELETE FROM payload WHERE idx = 7", [()]),
            ("DELETE FROM subject_key WHERE subject = 'person-1'", [()]),
            ("INSERT INTO payload VALUES (?, ?, ?, ?, ?, ?)", kept),
        ):
            connection.execute("BEGIN")
            connection.executemany(statement, values)
            if statement.startswith("INSERT"):
                connection.executemany("INSERT INTO subject_key VALUES (?, ?, ?, ?)", keys)
            connection.execute("COMMIT")
            report = verify(url)
            assert report.exit_code == 2, statement
            assert any(problem.what in {"payload", "key"} for problem in report.problems)
    assert any("that entry 6 erased" in problem.found for problem in report.problems)


def test_more_missing_than_an_erasure_says_is_a_finding(ledger, url):
    """An entry that says one payload went does not explain two."""
    for number in range(2):
        ledger.append_sync(decision(Action.ALLOW, number=number, subject="person-7"))
    from audit.events import ERASURE, Event

    def destroy(connection):
        for table in ("payload", "subject_key"):
            connection.execute(text(f"DELETE FROM {table}"))

    fields = {"what": "subject", "keys": 1, "payloads": 1}
    ledger.record_sync(Event(ERASURE, "ann", fields, reason="x", subject="person-7"), effect=destroy)
    report = verify(url)
    assert (report.exit_code, report.problems[0].found) == (2, "2 missing payloads")


def test_a_hold_keeps_what_it_covers(ledger, url):
    """Until it is lifted; a hold on something else does not matter."""
    ledger.append_sync(decision(subject="person-7"))
    set_hold(ledger, "tenant:umbrella", actor="eve", reason="another case")
    hold = set_hold(ledger, "action:redact category:privacy", actor="eve", reason="case 12")
    with pytest.raises(RefusedError, match=f"hold {hold.id} covers 1 decision$"):
        erase(ledger, "person-7", **WHO)
    with reading(url) as connection:
        assert [one.query for one in active_holds(connection)] == ["tenant:umbrella", hold.query]
    with pytest.raises(RefusedError, match="no hold 'x' is in force"):
        lift_hold(ledger, "x", actor="eve", reason="over")
    lift_hold(ledger, hold.id, actor="eve", reason="over")
    erase(ledger, "person-7", **WHO)
    assert verify(url).exit_code == 3
    with pytest.raises(LedgerError, match="expected a reason"):
        set_hold(ledger, "", actor="eve", reason="")
    with pytest.raises(InputError, match="unknown filter"):
        set_hold(ledger, "colour:red", actor="eve", reason="x")


def test_a_certificate_says_what_the_ledger_says(ledger, path, url):
    """For whoever has the public key; one that was changed, or signed by somebody else, is none."""
    ledger.append_sync(decision(subject="person\n7"))
    erased = erase(ledger, "person\n7", tenant="acme", **WHO)
    key = need_log_key(path, identity(url))
    note = certify(erased, key)
    found = Certificate.verified(note, [key.public])
    assert (found.subject, found.tenant, found.payloads, found.index) == ("person\n7", "acme", 2, erased.index)
    assert (found.overwritten, found.leaf, found.differs(url)) == (True, show(url, erased.index).leaf, "")
    other = need_log_key(path.with_name("other.db"), "another")
    for wrong in (note.replace("payloads 2", "payloads 9"), certify(erased, other)):
        with pytest.raises(SignatureError):
            Certificate.verified(wrong, [key.public])
    with pytest.raises(SignatureError, match="another ledger's key"):
        Certificate.verified(str(other.sign(found.text)), [other.public])
    with pytest.raises(SignatureError, match="no certificate"):
        Certificate.verified(str(key.sign(found.text.replace("yes", "perhaps"))), [key.public])
    lied = Certificate.parse(found.text.replace("keys 1", "keys 5"))
    assert lied.differs(url) == f"entry {erased.index} says otherwise"
    assert Certificate.parse(found.text.replace(f"entry {erased.index}", "entry 1")).differs(url) == "entry 1 is another one"


def test_a_log_that_is_being_read_is_not_cut_and_that_is_told(ledger, path, url):
    """The entry is there; running it again overwrites."""
    ledger.append_sync(decision(subject="person-7"))
    (secret,) = (one for (one,) in rows(path, "SELECT wrapped FROM subject_key"))
    with reading(url) as connection:
        connection.execute(text("SELECT count(*) FROM entry")).all()
        assert "keeps its log" in scrub(path, [secret], wait_s=0.1)
    erased = erase(ledger, "person-7", **WHO)
    assert erased.trouble == ""
    assert not remains(path, [secret])


@pytest.mark.parametrize("known", [True, False])
def test_bytes_that_a_careless_tool_left_are_overwritten(ledger, path, url, known):
    """Those that are known are looked for; without them the keys are written anew in any case."""
    for number in range(50):
        ledger.append_sync(decision(number=number, subject=f"person-{number}"))
    (secret,) = (one for (one,) in rows(path, "SELECT wrapped FROM subject_key WHERE subject = 'person-7'"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("DELETE FROM subject_key WHERE subject = 'person-7'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert remains(path, [secret])
    assert scrub(path, [secret] if known else None) == ""
    assert not remains(path, [secret])
    assert verify(url).checked["payloads_opened"] == 98


def test_a_stop_between_the_commit_and_the_overwriting_is_made_good(ledger, path, url, monkeypatch):
    """The bytes still stand in the log then; the same command again overwrites them."""
    ledger.append_sync(decision(subject="person-7"))
    gone = secrets_of(path, "person-7")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("audit.erasure.scrub", stop)
        with pytest.raises(KeyboardInterrupt):
            erase(ledger, "person-7", **WHO)
    assert remains(path, gone)
    assert erase(ledger, "person-7", **WHO).again
    assert not any(secret in data for data in files(path).values() for secret in gone)
    assert verify(url).exit_code == 3
