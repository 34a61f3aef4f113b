"""The writer: a receipt after the commit, or an error and nothing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from ledger_examples import DOCUMENT, HIDDEN, REVISION, SECRET, decision, image, verdict
from sqlalchemy import event

from audit import merkle
from audit.ledger import SqlLedger, open_ledger
from audit.query import show
from audit.verify import verify
from guard.errors import LedgerError, LedgerFullError
from guard.protocols import Ledger
from guard.types import Action, Finding


def bodies(path) -> list[bytes]:
    """The bodies in the database, by index."""
    with sqlite3.connect(path) as connection:
        return [row[0] for row in connection.execute("SELECT body FROM entry ORDER BY idx")]


def test_a_receipt_names_the_committed_entry(ledger, url, path):
    """Index, leaf and size are those of the database; another connection sees the entry."""
    made = decision()
    receipt = ledger.append_sync(made)
    assert (receipt.decision, receipt.index, receipt.tree_size) == (made.id, 2, 3)
    assert merkle.leaf_hash(bodies(path)[2]) == receipt.leaf_hash
    assert show(url, made.id).receipt == receipt
    assert isinstance(ledger, SqlLedger)
    held: Ledger = ledger
    assert held is ledger
    assert ledger.size == 3


def test_many_appends_at_once_get_gapless_indices(ledger, url):
    """64 callers of one event loop; each receipt is its own."""
    made = [decision(number=number) for number in range(64)]

    async def run():
        return await asyncio.gather(*[ledger.append(one) for one in made])

    receipts = asyncio.run(run())
    assert [receipt.decision for receipt in receipts] == [one.id for one in made]
    assert sorted(receipt.index for receipt in receipts) == list(range(2, 66))
    assert verify(url).ok


def test_threads_and_loops_may_share_a_ledger(ledger, url):
    """Synchronous callers from several threads."""
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda number: ledger.append_sync(decision(number=number)), range(80)))
    assert sorted(receipt.index for receipt in receipts) == list(range(2, 82))
    assert verify(url).ok


def test_a_caller_alone_is_not_kept_waiting(url):
    """Even with a long linger, the first append goes at once."""
    with open_ledger(url, linger_ms=60_000) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        started = time.monotonic()
        for number in range(3):
            opened.append_sync(decision(number=number))
        assert time.monotonic() - started < 30


def test_a_ledger_goes_on_after_it_was_closed(url, path):
    """Reopened, the indices and the tree continue, and the file alone is the ledger."""
    for turn in range(3):
        with open_ledger(url) as opened:
            opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
            assert opened.append_sync(decision(number=turn)).index == 2 + turn
        assert not path.with_name("ledger.db-wal").exists()
        assert verify(url).ok


def test_a_policy_is_recorded_once_a_revision(ledger, url, path):
    """By this ledger object, by another one, and by many at once."""
    for _ in range(2):
        asyncio.run(ledger.activate("enterprise", 4, REVISION, DOCUMENT))
    with open_ledger(url) as other, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: other.activate_sync("enterprise", 4, REVISION, DOCUMENT), range(4)))
    assert len(bodies(path)) == 2
    assert show(url, 1).body["document"] == DOCUMENT


def test_a_policy_document_of_another_digest_is_refused(ledger):
    """A revision that is not its document's would explain nothing."""
    with pytest.raises(LedgerError, match="its revision says"):
        ledger.activate_sync("enterprise", 4, "0" * 64, DOCUMENT)


def test_a_decision_under_an_unknown_policy_is_refused(ledger):
    """It could never be explained; nothing is committed."""
    made = replace(decision(), verdict=replace(verdict(Action.ALLOW), revision="0" * 64))
    with pytest.raises(LedgerError, match="no policy document of revision"):
        ledger.append_sync(made)
    with pytest.raises(LedgerError, match=r"\(empty\)"):
        ledger.append_sync(replace(made, verdict=replace(verdict(Action.ALLOW), revision="")))


def test_a_refusal_without_a_policy_is_kept_and_verifies(ledger, url):
    """Nothing was released and no policy spoke: there is no document to ask for."""
    refused = replace(verdict(Action.BLOCK), policy="", version=0, revision="")
    assert ledger.append_sync(replace(decision(), verdict=refused, released=None)).index >= 1
    assert verify(url).ok


def test_a_closed_ledger_says_that_it_is_not_well(ledger):
    """Health turns red when nothing can be committed any more."""
    assert ledger.health().ok
    ledger.close()
    assert not ledger.health().ok
    assert ledger.size == 2


def test_one_bad_entry_does_not_take_its_group_along(ledger, url):
    """A decision id that was used already is refused; those that waited with it are committed."""
    known = decision()
    ledger.append_sync(known)

    async def run():
        made = [decision(number=number) for number in range(10)]
        return await asyncio.gather(*[ledger.append(one) for one in [*made[:5], known, *made[5:]]], return_exceptions=True)

    answers = asyncio.run(run())
    assert [isinstance(answer, LedgerError) for answer in answers] == [place == 5 for place in range(11)]
    assert ledger.size == 13
    assert verify(url).ok


def test_a_score_that_is_no_integer_is_refused_by_its_field(ledger):
    """A float would make two bodies of one decision."""
    made = decision()
    broken = replace(made, results=(replace(made.results[0], findings=(Finding("privacy", "X", 0.5),)),))
    with pytest.raises(LedgerError, match="score: found float"):
        ledger.append_sync(broken)


def test_payloads_come_back_and_are_nowhere_in_the_files(ledger, url, path):
    """Text and image, original and released; neither the database nor its write-ahead log holds them in the clear."""
    made = decision()
    ledger.append_sync(made)
    pixels = os.urandom(200_000)
    picture = image(pixels, made.request)
    other = replace(made, id=uuid4(), content=picture, released=image(pixels[:100_000], made.request))
    asyncio.run(ledger.append(other))
    same = replace(decision(Action.ALLOW), content=picture, released=image(bytes(bytearray(pixels)), made.request))
    ledger.append_sync(same)

    assert [part.data for part in show(url, made.id, reveal=True).payloads] == [made.content.payload(), made.released.payload()]
    assert [part.data for part in show(url, other.id, reveal=True).payloads] == [pixels, pixels[:100_000]]
    assert [part.data for part in show(url, same.id, reveal=True).payloads] == [pixels, pixels]
    assert [part.data for part in show(url, made.id).payloads] == [None, None]

    files = [file.read_bytes() for file in path.parent.iterdir()]
    assert len(files) >= 4
    for secret in (SECRET.encode(), HIDDEN.encode(), b"4111 1111", b"Quibbleworth", pixels[:32], pixels[-32:]):
        assert not any(secret in data for data in files)
    ledger.close()
    assert path.stat().st_size < 950_000, "an output that is released as it was made is stored once"


def test_lone_surrogates_in_a_text_are_kept(ledger, url):
    """What a caller sends is kept as it came, even if it is not proper Unicode."""
    made = decision(Action.BLOCK, data="half \ud83d of a pair")
    ledger.append_sync(made)
    assert show(url, made.id, reveal=True).payloads[0].data == made.content.payload()


def test_a_full_queue_refuses_at_once(url, path):
    """While the database is held by someone else, what fits waits and the rest is refused; all that waited is committed."""
    with open_ledger(url, queue_size=4, busy_timeout_ms=20_000) as opened:
        opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        holder = sqlite3.connect(opened.path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")

        async def run():
            tasks = [asyncio.ensure_future(opened.append(decision(number=number))) for number in range(20)]
            await asyncio.sleep(0.3)
            holder.execute("COMMIT")
            return await asyncio.gather(*tasks, return_exceptions=True)

        answers = asyncio.run(run())
        holder.close()
        full = [answer for answer in answers if isinstance(answer, LedgerFullError)]
        assert len(full) >= 20 - 4 - 1 - 4
        assert "expected fewer than 4" in str(full[0])
        assert opened.size == 2 + 20 - len(full)
    assert verify(url).ok


def test_a_caller_that_goes_away_does_not_stop_the_writer(ledger, url):
    """A cancelled append may be committed or not; those after it are."""

    async def run():
        tasks = [asyncio.ensure_future(ledger.append(decision(number=number))) for number in range(30)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(run())
    assert all(not isinstance(answer, BaseException) for answer in answers[1::2])
    ledger.append_sync(decision())
    assert verify(url).ok


def test_a_failed_commit_fails_all_that_waited_and_the_next_one_works(ledger, url, path):
    """The error of the disk reaches every caller; the writer lives on."""
    broken = threading.Event()
    broken.set()

    @event.listens_for(ledger._engine, "commit")
    def _(_connection):
        if broken.is_set():
            raise sqlite3.OperationalError("disk I/O error")

    async def run():
        return await asyncio.gather(*[ledger.append(decision(number=n)) for n in range(20)], return_exceptions=True)

    answers = asyncio.run(run())
    assert all(type(answer) is LedgerError and "disk I/O error" in str(answer) for answer in answers)
    assert len({id(answer) for answer in answers}) == 20
    assert not ledger.health().ok
    assert ledger.size == 2
    broken.clear()
    assert ledger.append_sync(decision()).index == 2
    assert ledger.health().ok
    assert verify(url).ok


def test_a_destroyed_subject_key_is_never_used_again(ledger, url, path):
    """Another process erased the subject: what comes after is sealed under a new key."""
    ledger.append_sync(decision())
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM subject_key")
    made = decision(number=2)
    ledger.append_sync(made)
    assert show(url, made.id, reveal=True).payloads[0].data == made.content.payload()


def test_each_subject_has_its_own_key(ledger, path):
    """Destroying one leaves the others."""
    for subject in ("a", "b", "a", ""):
        ledger.append_sync(decision(subject=subject))
    with sqlite3.connect(path) as connection:
        assert sorted(connection.execute("SELECT tenant, subject FROM subject_key")) == [
            ("acme", ""),
            ("acme", "a"),
            ("acme", "b"),
        ]


def test_a_closed_ledger_takes_nothing(url):
    """And closing twice is harmless."""
    opened = open_ledger(url)
    opened.close()
    opened.close()
    with pytest.raises(LedgerError, match="closed"):
        opened.append_sync(decision())


def test_rows_cannot_be_changed_through_sql(ledger, path):
    """A careless statement fails; entries, terms and payloads stay as they are."""
    ledger.append_sync(decision())
    with sqlite3.connect(path) as connection:
        for statement in (
            "UPDATE entry SET action = 'allow'",
            "DELETE FROM entry",
            "INSERT OR REPLACE INTO entry SELECT * FROM entry",
            "UPDATE term SET value = 'x'",
            "DELETE FROM term",
            "DELETE FROM head",
            "UPDATE ledger SET key_id = 'x'",
            "UPDATE payload SET nonce = x''",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="cannot be changed"):
                connection.execute(statement)
