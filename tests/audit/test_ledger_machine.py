"""Whatever is done to a ledger in whatever order, and wherever it stops: it agrees with a naive record of it."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from crashing import Nursery, naive_frontier, naive_root
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ledger_examples import DOCUMENT, REVISION, decision
from naive_review import Naive
from postgres import fresh_schema
from sqlalchemy import text

from audit import failpoints, genguard_verify
from audit import review_steps as steps
from audit.anchor import FileAnchor
from audit.erasure import erase
from audit.export.run import Order, export
from audit.grammar import QueryError
from audit.holds import lift_hold, set_hold
from audit.keys import default_key_file
from audit.ledger import open_ledger
from audit.log_key import need_log_key
from audit.notary import Notary, RollbackError
from audit.proof import Proof
from audit.prove import prove
from audit.query import reading, show
from audit.retention import prune
from audit.review_queue import case, waiting
from audit.rotation import rotate_key
from audit.scrub import remains
from audit.stores.postgres import KEY_FOLDER
from audit.verify import verify
from guard.errors import InputError, LedgerError, RefusedError
from guard.types import Action

START = datetime(2026, 11, 27, tzinfo=UTC) + timedelta(days=730)
SUBJECTS = st.sampled_from(["a", "b", "c"])
PEOPLE = st.sampled_from(["ann", "bob", "cas"])
OUTCOMES = st.sampled_from(["release", "withhold"])
WHICH = st.integers(0, 1)
WHO = {"actor": "ann", "reason": "as the test wants it"}
BEFORE_COMMIT = [name for name in failpoints.POINTS if name.startswith("append:") and not name.endswith("committed")]


@dataclass
class Kept:
    """What a decision should still have."""

    id: str
    subject: str
    words: str
    day: int
    stands: Naive
    content: bool = True
    body: bool = True


class StoppedError(Exception):
    """Instead of a process that dies."""


@contextmanager
def stopping(point: str):
    """The work stops dead at a place, once."""

    def stop(name: str) -> None:
        if name == point:
            failpoints.hook = None
            raise StoppedError

    failpoints.hook = stop
    try:
        yield
    finally:
        failpoints.hook = None


class Machine(RuleBasedStateMachine):
    """Two processes' ledgers on one database, an anchor, and a record in memory."""

    nursery: ClassVar[Nursery | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-machine-"))
        self.url = self.make_url()
        self.ledgers = [open_ledger(self.url), open_ledger(self.url)]
        self.ledgers[0].activate_sync("enterprise", 4, REVISION, DOCUMENT)
        self.size = 2
        self.leaves: list[bytes] = []
        self.kept: dict[int, Kept] = {}
        self.holds: dict[str, str] = {}
        self.proofs: list[tuple[str, int]] = []
        self.day = self.exports = 0
        self.append(0, ["a", "b", "c", "a"], 0, held=True)
        self.key = need_log_key(self.ledgers[0].store, self.ledgers[0].identity, self.folder / "log.key")
        self.anchor = FileAnchor(self.folder / "anchor.txt")
        self.signed = 0

    def make_url(self) -> str:
        """Of an empty place."""
        return f"sqlite:///{self.folder / 'ledger.db'}"

    @property
    def file(self) -> Path | None:
        """The database's, where it is one."""
        path = self.folder / "ledger.db"
        return path if path.exists() else None

    def teardown(self) -> None:
        self.compare()
        for one in self.ledgers:
            one.close()
        shutil.rmtree(self.folder)

    def made(self, subject: str, *, held: bool):
        words = f"the words of {subject} number {self.size} {len(self.kept)}"
        action = Action.REVIEW if held else Action.ALLOW
        return words, decision(action, data=words, subject=subject, time=START + timedelta(days=self.day))

    def keep(self, idx: int, decision_id: str, subject: str, words: str, *, held: bool) -> None:
        self.kept[idx] = Kept(decision_id, subject, words, self.day, Naive(held))
        self.size = idx + 1

    def recorded(self, count: int = 1) -> None:
        """So many entries more, none of them a decision."""
        self.size += count

    # --- writing -------------------------------------------------------------------------------------------------------

    @rule(
        which=WHICH, subjects=st.lists(SUBJECTS, min_size=1, max_size=4), days=st.sampled_from([0, 0, 200]), held=st.booleans()
    )
    def append(self, which, subjects, days, held):
        self.day += days
        for subject in subjects:
            words, made = self.made(subject, held=held)
            receipt = self.ledgers[which].append_sync(made)
            assert (receipt.index, receipt.tree_size) == (self.size, self.size + 1)
            self.keep(receipt.index, str(made.id), subject, words, held=held)

    @rule(which=WHICH, subjects=st.lists(SUBJECTS, min_size=2, max_size=6))
    def append_at_once(self, which, subjects):
        """In one group or several, whichever way they fall."""
        ledger, waiting_for = self.ledgers[which], []
        for number, subject in enumerate(subjects):
            words, made = self.made(f"{subject}", held=False)
            words += f" of group {number}"
            made = decision(Action.ALLOW, id=made.id, data=words, subject=subject, time=made.time)
            waiting_for.append((subject, words, made, ledger._committer.submit(ledger._draft(made))))
        for subject, words, made, future in sorted(waiting_for, key=lambda one: one[3].result().index):
            receipt = future.result()
            assert receipt.index == self.size
            self.keep(receipt.index, str(made.id), subject, words, held=False)

    @rule(which=WHICH, subject=SUBJECTS, point=st.sampled_from(BEFORE_COMMIT), again=st.booleans())
    def stop_before_the_commit(self, which, subject, point, again):
        """Nothing of it is there; the same process, or a new one, goes on."""
        _, made = self.made(subject, held=False)
        with stopping(point):
            try:
                receipt = self.ledgers[which].append_sync(made)
            except LedgerError:
                pass
            else:  # it had a key already, so that it did not pass this place
                assert point == "append: keys in"
                self.keep(receipt.index, str(made.id), subject, made.content.data, held=False)
        if again:
            self.reopen(which)

    @rule(which=WHICH, subject=SUBJECTS)
    def stop_after_the_commit(self, which, subject):
        """It was never acknowledged, and it is there."""
        words, made = self.made(subject, held=False)
        with stopping("append: committed"), pytest.raises(LedgerError):
            self.ledgers[which].append_sync(made)
        self.keep(self.size, str(made.id), subject, words, held=False)
        self.reopen(which)

    @rule(subject=SUBJECTS, count=st.integers(0, 4))
    def kill(self, subject, count):
        """A third process, by -9: what it said is there, and of what it tried at most one more."""
        if Machine.nursery is None:
            folder = tempfile.mkdtemp(prefix="children-")
            Machine.nursery = Nursery(Path(folder))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            atexit.register(Machine.nursery.close)
        time = START + timedelta(days=self.day)
        child = Machine.nursery.start("plain", self.url, subject=subject, time=time.isoformat())
        child.wait_for(count, "did")
        child.kill()
        tried = [(words[1], " ".join(words[2:])) for words in child.lines("try")]
        did = [int(words[1]) for words in child.lines("did")]
        with reading(self.url) as connection:
            size = connection.execute(text("SELECT size FROM head")).scalar_one()
        assert did == list(range(self.size, self.size + len(did)))
        assert len(did) <= size - self.size <= len(did) + 1
        for name, words in tried[: size - self.size]:
            self.keep(self.size, name, subject, words, held=False)

    @rule(which=WHICH)
    def reopen(self, which):
        self.ledgers[which].close()
        self.ledgers[which] = open_ledger(self.url)

    # --- forgetting ----------------------------------------------------------------------------------------------------

    @rule(which=WHICH, subject=SUBJECTS)
    def erase(self, which, subject):
        covered = [one for one in self.kept.values() if one.subject == subject and one.body]
        content = [one for one in covered if one.content]
        try:
            erased = erase(self.ledgers[which], subject, **WHO)
        except RefusedError:
            assert subject in self.holds.values()
            assert content
        except InputError:
            assert not content
        else:
            assert erased.again or erased.count("payloads") == len(content)
            assert erased.again != bool(content)
            self.recorded(0 if erased.again else 1)
            for one in content:
                one.content = False

    @rule(which=WHICH, subject=SUBJECTS)
    def stop_while_erasing(self, which, subject):
        """Before the entry nothing went; the log says nothing of it either."""
        with stopping("erase: content deleted"):
            try:
                erased = erase(self.ledgers[which], subject, **WHO)
            except (InputError, LedgerError):
                return
        assert erased.again, "whatever there is to erase leads past the place where it stops"

    @rule(which=WHICH, days=st.sampled_from([183, 210]))
    def prune(self, which, days):
        now = START + timedelta(days=self.day, hours=1)
        held = set(self.holds.values())
        old = [one for one in self.kept.values() if one.body and one.day <= self.day - days and one.subject not in held]
        done = prune(self.ledgers[which], days, **WHO, now=now)
        assert (done.bodies, len(done.entries)) == (len(old), bool(old))
        self.recorded(len(done.entries))
        for one in old:
            one.body = one.content = False

    @rule(
        which=WHICH, how=st.sampled_from(["", "rotate: key file written", "rotate: keys wrapped", "append: before the commit"])
    )
    def rotate(self, which, how):
        """Also one that stops before it is in force."""
        if not how:
            self.do_rotate(which)
            self.recorded()
            return
        with stopping(how), pytest.raises(LedgerError):
            self.do_rotate(which)

    def do_rotate(self, which: int) -> None:
        rotate_key(self.ledgers[which], **WHO)

    @rule(which=WHICH, subject=SUBJECTS)
    def hold(self, which, subject):
        self.holds[set_hold(self.ledgers[which], f"subject:{subject}", **WHO).id] = subject
        self.recorded()

    @precondition(lambda self: self.holds)
    @rule(which=WHICH)
    def lift(self, which):
        hold = next(iter(self.holds))
        lift_hold(self.ledgers[which], hold, **WHO)
        del self.holds[hold]
        self.recorded()

    # --- persons -------------------------------------------------------------------------------------------------------

    @rule(which=WHICH, number=st.integers(0, 30), who=PEOPLE, outcome=OUTCOMES, pick=st.integers(0, 7))
    def review(self, which, number, who, outcome, pick):
        """One step about one decision, which may be taken exactly when the naive rules say so."""
        idx = sorted(self.kept)[number % len(self.kept)]
        one, ledger = self.kept[idx], self.ledgers[which]
        named, reason = one.id, "because"
        take, naive = [
            (lambda: steps.claim(ledger, named, who), lambda: one.stands.claim(who)),
            (lambda: steps.release_claim(ledger, named, who), lambda: one.stands.give_back(who)),
            (lambda: steps.decide(ledger, named, who, outcome, "quality"), lambda: one.stands.decide(who, outcome)),
            (lambda: steps.appeal(ledger, named, who, reason), lambda: one.stands.appeal(who)),
            (lambda: steps.overrule(ledger, named, who, outcome, reason), lambda: one.stands.overrule(who, outcome)),
            (lambda: steps.undo(ledger, named, who, reason), lambda: one.stands.undo(who)),
            (lambda: steps.feedback(ledger, named, who, "missed_harm"), one.stands.look),
            (lambda: steps.sample(ledger, named, who), one.stands.look),
        ][pick]
        try:
            taken = take()
        except QueryError:
            assert not one.body
        except RefusedError:
            assert one.body
            assert not naive()
        else:
            assert one.body
            assert naive()
            assert taken.index == self.size
            self.recorded()

    # --- proofs, copies, exports ----------------------------------------------------------------------------------------

    def notary(self, store=None) -> Notary:
        ledger = self.ledgers[0]
        return Notary(ledger.reader, store or ledger.store, self.key, (self.anchor,))

    @rule()
    def sign(self):
        note = self.notary().sign()
        assert (note is None) == (self.signed == self.size)
        self.signed = self.size
        there = [idx for idx, one in self.kept.items() if one.body]
        if there and note:
            self.proofs.append((str(prove(self.url, there[-1], note)), self.size))

    @rule(which=WHICH, pick=st.sampled_from(["csv", "jsonl", "bundle"]))
    def export(self, which, pick):
        """All decisions, a few of which are gone; a bundle proves itself."""
        self.sign()
        self.exports += 1
        out = self.folder / f"export-{self.exports}"
        note = self.anchor.notes()[-1]
        order = Order(self.url, pick, "", "kim", **({"checkpoint": note, "key": self.key.public} if pick == "bundle" else {}))
        done = export(order, out, self.ledgers[which].record_sync)
        self.recorded()
        if pick == "bundle":
            assert genguard_verify.main([str(out), "--key", str(self.key.public)]) == 0
        else:
            assert done.written.count == sum(one.body for one in self.kept.values())

    @precondition(lambda self: self.file is not None)
    @rule()
    def restore_a_backup(self):
        """It is sound in itself; against the anchor it is behind as soon as more was signed, and nothing is signed of it."""
        backup = self.folder / "backup.db"
        with closing(sqlite3.connect(self.file)) as live, closing(sqlite3.connect(backup)) as copy:
            live.backup(copy)
        shutil.copy(default_key_file(self.file), default_key_file(backup))
        size = self.size
        self.append(0, ["a"], 0, held=False)
        self.sign()
        url = f"sqlite:///{backup}"
        assert verify(url).exit_code in {0, 3}
        report = verify(url, anchors=[self.anchor], log_keys=[self.key.public])
        assert (report.exit_code, report.size) == (5, size)
        with open_ledger(url) as restored:
            notary = Notary(restored.reader, restored.store, self.key, (self.anchor,))
            with pytest.raises(RollbackError):
                notary.sign()
        backup.unlink()

    # --- what holds ----------------------------------------------------------------------------------------------------

    @invariant()
    def append_only(self):
        """Indices have no gaps, the head is the naive tree's, and no leaf that was there has changed."""
        with reading(self.url) as connection:
            rows = connection.execute(text("SELECT idx, leaf FROM entry ORDER BY idx")).all()
            size, frontier = connection.execute(text("SELECT size, frontier FROM head")).one()
        leaves = [bytes(leaf) for _, leaf in rows]
        assert [idx for idx, _ in rows] == list(range(self.size))
        assert size == self.size
        assert leaves[: len(self.leaves)] == self.leaves
        assert bytes(frontier) == b"".join(naive_frontier(leaves))
        self.leaves = leaves

    @rule()
    def compare(self):
        """Content, gaps, proofs, reviews and root are those of the record; no words stand in the file."""
        for idx, one in self.kept.items():
            try:
                stored = show(self.url, idx, reveal=True).payloads[0].data
            except QueryError:
                assert not one.body
            else:
                assert (one.body, stored) == (True, one.words.encode() if one.content else None)
                state = case(self.url, one.id).state
                naive = one.stands
                assert (state.phase.value, state.outcome, state.holder) == (naive.phase, naive.outcome, naive.holder)
        queue = {one.state.subject.idx for one in waiting(self.url, limit=500).cases}
        assert queue == {idx for idx, one in self.kept.items() if one.body and one.stands.open}
        report = verify(self.url, anchors=[self.anchor], log_keys=[self.key.public])
        erased = sum(one.body and not one.content for one in self.kept.values())
        dropped = sum(not one.body for one in self.kept.values())
        assert (report.problems, report.exit_code) == ((), 3 if erased or dropped else 0)
        assert sum(gap.payloads for gap in report.gaps) == erased
        assert sum(gap.bodies for gap in report.gaps) == dropped
        assert not self.file or not remains(self.file, [one.words.encode() for one in self.kept.values()])
        self.append_only()
        for proof, size in self.proofs:
            found = Proof.parse(proof).verify([self.key.public])
            assert (found.size, found.root) == (size, naive_root(self.leaves[:size]))
        assert naive_root(self.leaves).hex() == report.root


def plan(examples: int, count: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=count,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # to make a failure smaller takes longer than a test may
        suppress_health_check=list(HealthCheck),
    )


class PostgresMachine(Machine):
    """The same on a server; the keys lie in a folder."""

    admin: ClassVar[str]
    """URL of a database on it."""

    def make_url(self) -> str:
        os.environ[KEY_FOLDER] = str(self.folder)
        return fresh_schema(self.admin)

    def teardown(self) -> None:
        super().teardown()
        del os.environ[KEY_FOLDER]


@pytest.mark.timeout(600)
class TestLedger(Machine.TestCase):
    """A few runs."""

    settings = plan(5, 20)


@pytest.mark.slow
@pytest.mark.timeout(3000)
class TestLedgerLong(Machine.TestCase):
    """Many, and long ones."""

    settings = plan(100, 50)


@pytest.fixture(scope="module")
def server(postgres):
    """For all runs."""
    PostgresMachine.admin = postgres


@pytest.mark.usefixtures("server")
@pytest.mark.timeout(600)
class TestLedgerOnPostgres(PostgresMachine.TestCase):
    """A few runs."""

    settings = plan(2, 15)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("server")
class TestLedgerOnPostgresLong(PostgresMachine.TestCase):
    """Many, and long ones."""

    settings = plan(100, 50)
