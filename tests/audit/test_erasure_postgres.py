"""What PostgreSQL's own files still hold of an erased subject, byte for byte."""

from __future__ import annotations

import pytest
from conftest import MASTER_KEY
from ledger_examples import DOCUMENT, REVISION, decision
from postgres import MISSING, Server, binaries, fresh, statement

from audit.erasure import erase
from audit.ledger import open_ledger
from audit.verify import verify
from guard.types import Action

pytestmark = pytest.mark.skipif(binaries() is None, reason=MISSING)
WORDS = "the very private words of one person"


@pytest.fixture
def server():
    """One whose files are searched."""
    made = Server.start()
    yield made
    made.close()


def found_in(server: Server, secret: bytes) -> set[str]:
    """The folders of its data in which a file holds these bytes."""
    data = server.folder / "data"
    return {file.relative_to(data).parts[0] for file in data.rglob("*") if file.is_file() and secret in file.read_bytes()}


def test_the_keys_of_an_erased_subject_are_in_no_table_any_more(server, monkeypatch):
    """They stay in the write-ahead log until it is recycled, which the command says; the words never stand anywhere."""
    monkeypatch.setenv("GENGUARD_MASTER_KEY", MASTER_KEY)
    url = fresh(server.url("postgres"))
    with open_ledger(url) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        for number in range(20):
            opened.append_sync(decision(Action.ALLOW, number=number, data=f"{WORDS} {number}", subject=f"person-{number % 2}"))
        (gone,), (kept,) = (
            [bytes(row[0]) for row in statement(url, f"SELECT wrapped FROM subject_key WHERE subject = 'person-{one}'")]
            for one in (0, 1)
        )
        statement(url, "CHECKPOINT")
        assert "base" in found_in(server, gone)
        erased = erase(opened, "person-0", actor="ann", reason="asked for")
        assert "write-ahead log" in erased.trouble
        statement(url, "CHECKPOINT")
        assert found_in(server, gone) <= {"pg_wal"}
        assert "base" in found_in(server, kept)
        assert found_in(server, WORDS.encode()) == set()
    report = verify(url)
    assert (report.problems, report.exit_code) == ((), 3)
