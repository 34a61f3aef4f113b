"""Whatever is appended, erased, held, dropped and rotated in whatever order: the ledger agrees with a naive record of it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from ledger_examples import DOCUMENT, REVISION, decision
from sqlalchemy import text

from audit.checkpoint import Checkpoint
from audit.erasure import erase
from audit.grammar import QueryError
from audit.holds import lift_hold, set_hold
from audit.ledger import open_ledger
from audit.log_key import need_log_key
from audit.proof import Proof
from audit.prove import prove
from audit.query import identity, reading, show
from audit.retention import prune
from audit.rotation import rotate_key
from audit.verify import verify
from guard.errors import InputError, RefusedError
from guard.types import Action

START = datetime(2026, 11, 27, tzinfo=UTC) + timedelta(days=730)
SUBJECTS = st.sampled_from(["a", "b", "c"])
WHO = {"actor": "ann", "reason": "as the test wants it"}


@dataclass
class Kept:
    """What a decision should still have."""

    subject: str
    words: str
    day: int
    content: bool = True
    body: bool = True


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + naive_root(leaves[:half]) + naive_root(leaves[half:])).digest()


class Forgetting(RuleBasedStateMachine):
    """Two processes' ledgers on one file, and a record in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="forgetting-"))
        self.path = self.folder / "ledger.db"
        self.url = f"sqlite:///{self.path}"
        self.ledgers = [open_ledger(self.url), open_ledger(self.url)]
        self.ledgers[0].activate_sync("enterprise", 4, REVISION, DOCUMENT)
        self.kept: dict[int, Kept] = {}
        self.holds: dict[str, str] = {}
        self.proofs: list[str] = []
        self.day = 0
        self.append(0, ["a", "b", "c", "a"], 0)
        self.key = need_log_key(self.path, identity(self.url))

    def teardown(self) -> None:
        self.compare()
        for one in self.ledgers:
            one.close()
        shutil.rmtree(self.folder)

    def held(self, one: Kept) -> bool:
        return one.subject in self.holds.values()

    @rule(which=st.integers(0, 1), subjects=st.lists(SUBJECTS, min_size=1, max_size=3), days=st.sampled_from([200, 0]))
    def append(self, which, subjects, days):
        self.day += days
        for subject in subjects:
            words = f"the words of {subject} number {len(self.kept)}"
            made = decision(Action.ALLOW, data=words, subject=subject, time=START + timedelta(days=self.day))
            self.kept[self.ledgers[which].append_sync(made).index] = Kept(subject, words, self.day)

    @rule(which=st.integers(0, 1), subject=SUBJECTS)
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
            for one in content:
                one.content = False

    @rule(which=st.integers(0, 1), days=st.sampled_from([183, 210]))
    def prune(self, which, days):
        now = START + timedelta(days=self.day, hours=1)
        old = [one for one in self.kept.values() if one.body and one.day <= self.day - days and not self.held(one)]
        assert prune(self.ledgers[which], days, **WHO, now=now).bodies == len(old)
        for one in old:
            one.body = one.content = False

    @rule(which=st.integers(0, 1))
    def rotate(self, which):
        rotate_key(self.ledgers[which], **WHO)

    @rule(which=st.integers(0, 1), subject=SUBJECTS)
    def hold(self, which, subject):
        self.holds[set_hold(self.ledgers[which], f"subject:{subject}", **WHO).id] = subject

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 1))
    def lift(self, which):
        hold = next(iter(self.holds))
        lift_hold(self.ledgers[which], hold, **WHO)
        del self.holds[hold]

    @rule(which=st.integers(0, 1))
    def reopen(self, which):
        self.ledgers[which].close()
        self.ledgers[which] = open_ledger(self.url)

    @rule()
    def checkpoint(self):
        there = [idx for idx, one in self.kept.items() if one.body]
        if there:
            report = verify(self.url)
            note = Checkpoint(self.key.name, report.size, bytes.fromhex(report.root)).signed(self.key)
            self.proofs.append(str(prove(self.url, there[-1], note)))

    @rule()
    def compare(self):
        """Content, gaps, proofs and root are those of the record; no words stand in the file."""
        for idx, one in self.kept.items():
            try:
                stored = show(self.url, idx, reveal=True).payloads[0].data
            except QueryError:
                assert not one.body
            else:
                assert (one.body, stored) == (True, one.words.encode() if one.content else None)
        report = verify(self.url)
        erased = sum(one.body and not one.content for one in self.kept.values())
        dropped = sum(not one.body for one in self.kept.values())
        assert (report.problems, report.exit_code) == ((), 3 if erased or dropped else 0)
        assert sum(gap.payloads for gap in report.gaps) == erased
        assert sum(gap.bodies for gap in report.gaps) == dropped
        whole = self.path.read_bytes()
        assert not any(one.words.encode() in whole for one in self.kept.values())
        for proof in self.proofs:
            Proof.parse(proof).verify([self.key.public])
        with reading(self.url) as connection:
            leaves = [bytes(leaf) for leaf in connection.execute(text("SELECT leaf FROM entry ORDER BY idx")).scalars()]
        assert naive_root(leaves).hex() == report.root


def plan(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


class TestForgetting(Forgetting.TestCase):
    """A few runs."""

    settings = plan(8)


@pytest.mark.slow
class TestForgettingLong(Forgetting.TestCase):
    """Many."""

    settings = plan(100)
