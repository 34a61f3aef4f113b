"""The writer: `open_ledger(url)` gives a `guard.protocols.Ledger` on SQLite or PostgreSQL.

    append ─> body, leaf hash, sealed payloads (in the caller's thread) ─> queue ─> one transaction a group ─> Receipt

A transaction takes the write lock, reads the head, numbers its entries from there, adds leaves to the frontier and changes the
head by compare-and-swap: `idx` has no gaps and the head is never behind. A receipt is made after the commit, or never.
Several processes may write to one ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, Text, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from audit import merkle
from audit.body import ACTIVATION
from audit.committer import Committer
from audit.copies import copy_tags
from audit.drafts import NO_POLICY, Check, Effect, activation, happening, no_revision, payload_size, registration, step
from audit.events import Event, opening_event
from audit.failpoints import failpoint
from audit.findable import findable
from audit.keyring import Keyring
from audit.line import Line
from audit.models import is_fact, tables
from audit.moments import add_moments
from audit.projected import BANK_DIGEST
from audit.settling import Settling
from audit.stores import DEFAULT_URL, Store, open_store
from audit.tile_rows import add_tiles
from audit.transaction import (
    Batch,
    Draft,
    StaleError,
    decision_draft,
    gather,
    insert_batch,
    open_database,
    read_head,
    swap_head,
)
from audit.turns import no_collection, short_turns
from audit.vault import Sealed
from guard.errors import LedgerError, RefusedError
from guard.types import BankChange, Decision, Opening, Receipt, Rollout

GROUP = 512
LINGER_MS = 20
QUEUE = 4096
BUSY_MS = 5000
STALL_S = 5.0
RECONNECT_S = 15.0
"""Seconds that the writer tries to find out what became of a commit whose answer was lost."""
_LARGE = 65_536
"""Bytes of payload from which encrypting leaves the event loop."""

_ENTRY, _TERM, _HEAD, _LEDGER, _, _KEY = tables()
_THERE = select(_KEY.c.id).where(_KEY.c.id.in_(bindparam("keys", expanding=True, type_=Text())))
_COUNTED = "SELECT count(*) FROM subject_key WHERE id IN ({})"


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the ledger takes entries."""

    ok: bool
    detail: str
    pending: int


def open_ledger(
    url: str = DEFAULT_URL,
    *,
    key_file: str | Path | None = None,
    queue_size: int = QUEUE,
    group_size: int = GROUP,
    linger_ms: int = LINGER_MS,
    busy_timeout_ms: int = BUSY_MS,
) -> SqlLedger:
    """Open the ledger, beginning it when there is none.

    `url`: sqlite:///PATH or postgresql://USER@HOST/DATABASE. `key_file`: the master key (default: GENGUARD_MASTER_KEY, else,
    of a file, `<database>.key`, made for a ledger that begins).
    `queue_size`: entries that may wait. `group_size`, `linger_ms`: bounds of one commit. `busy_timeout_ms`: how long to wait
    for another process's commit. Raises LedgerError for a URL, file, folder or key that cannot be used.
    """
    store = open_store(url)
    engine = store.writer(busy_timeout_ms)
    keyring = open_database(engine, store, Path(key_file) if key_file else None)
    return SqlLedger(engine, store, keyring, queue_size, group_size, linger_ms / 1000)


@dataclass(frozen=True, slots=True)
class _Commit:
    """A commit that was asked for."""

    size: int
    """Of the tree before."""
    accepted: list[Draft]
    answers: list[LedgerError | Draft | None]
    known: set[str]
    """Revisions whose documents are there then."""


class SqlLedger:
    """A ledger in a database; satisfies `guard.protocols.Ledger`. Safe to use from several threads and event loops."""

    def __init__(self, engine: Engine, store: Store, keyring: Keyring, queue_size: int, group_size: int, linger: float) -> None:
        """Use `open_ledger`."""
        self.store, self._engine, self.keyring = store, engine, keyring
        self._followed = -1
        """The size up to which the log is known to hold no newer master key; -1: look."""
        self._process = os.getpid()
        self._activated: set[str] = set()
        self._line = Line(engine, store)
        self._settling = Settling(store)
        self._seen = 0
        """The largest size that a commit here led to."""
        self._unanswered: _Commit | None = None
        self._identity = ""
        self._mark = store.mark()
        self._reader = store.reader()
        bounds = {"capacity": queue_size, "group": group_size}
        self._committer: Committer[Draft, Receipt | None] = Committer(self._commit, self._probe, linger=linger, **bounds)

    async def append(self, decision: Decision, /, unless: Check | None = None) -> Receipt:
        """Commit a decision. Returns after the commit; raises LedgerError, and LedgerFullError when too many wait.

        `unless`: as in `record`.
        """
        committer = self._mine()
        if payload_size(decision) > _LARGE:
            draft = await asyncio.to_thread(self._draft, decision)
        else:
            draft = self._draft(decision)
        draft.unless = unless
        return _receipt(await committer.submit_async(draft))

    def append_sync(self, decision: Decision, /) -> Receipt:
        """`append` for callers without an event loop."""
        committer = self._mine()
        return _receipt(committer.submit(self._draft(decision)).result())

    async def activate(self, policy_id: str, version: int, revision: str, document: str, /) -> None:
        """Record a policy document, once a revision. Raises LedgerError, also when `revision` is not its SHA-256."""
        if self._process != os.getpid() or revision not in self._activated:
            await self._mine().submit_async(activation(policy_id, version, revision, document))

    def activate_sync(self, policy_id: str, version: int, revision: str, document: str, /, *, source: str = "") -> None:
        """`activate` without an event loop. `source`: a text that alone compiles to it, kept with a new document."""
        if self._process != os.getpid() or revision not in self._activated:
            self._mine().submit(activation(policy_id, version, revision, document, source)).result()

    async def register(self, change: BankChange, /) -> None:
        """Record a change of a bank, once a digest that it led to. Raises LedgerError."""
        await self._mine().submit_async(registration(change))

    def register_sync(self, change: BankChange, /, unless: Check | None = None, effect: Effect | None = None) -> None:
        """`register` for callers without an event loop. With an `effect`, both as in `record`, it is recorded in any case."""
        self._mine().submit(registration(change, unless, effect)).result()

    async def roll_out(self, rollout: Rollout, /) -> int:
        """Record a step of a policy's rollout; return the entry's index. Raises LedgerError, also for a step that cannot be."""
        return _receipt(await self._mine().submit_async(step(rollout))).index

    def roll_out_sync(self, rollout: Rollout, /) -> int:
        """`roll_out` for callers without an event loop."""
        return _receipt(self._mine().submit(step(rollout)).result()).index

    async def begin_stream(self, opening: Opening, /) -> int:
        """Record that an output begins to leave, before its decision; return the entry's index. Raises LedgerError."""
        return await self.record(opening_event(opening))

    async def record(self, event: Event, /, unless: Check | None = None, effect: Effect | None = None) -> int:
        """Record an event; return the entry's index.

        `unless`: says, inside the transaction that would record it, why it may not be. `effect`: what that transaction changes
        besides, such as keys. Both get its connection, may be called again after a failure, and must not commit. Raises
        RefusedError with what `unless` said, and LedgerError.
        """
        return _receipt(await self._mine().submit_async(happening(event, unless, effect))).index

    def record_sync(self, event: Event, /, unless: Check | None = None, effect: Effect | None = None) -> int:
        """`record` for callers without an event loop."""
        return _receipt(self._mine().submit(happening(event, unless, effect)).result()).index

    @property
    def path(self) -> Path:
        """The file of a ledger in SQLite. Raises LedgerError for another."""
        if self.store.path is None:
            raise LedgerError(f"found a ledger in {self.store.name}, expected a file: this needs a ledger in SQLite")
        return self.store.path

    @property
    def identity(self) -> str:
        """The id that this ledger began with; entry 0 holds it too. Raises LedgerError when the database cannot be read."""
        if not self._identity:
            with self.store.clear_errors("read the ledger"), self._reader.connect() as connection:
                self._identity = str(connection.execute(select(_LEDGER.c.ledger)).scalar_one())
        return self._identity

    @property
    def reader(self) -> Engine:
        """For reading it; cannot write."""
        return self._reader

    @property
    def size(self) -> int:
        """Entries committed, by any process. Raises LedgerError when the database cannot be read."""
        with self.store.clear_errors("read the ledger"), self._reader.connect() as connection:
            found: int = connection.execute(select(_HEAD.c.size)).scalar_one()
            return found

    def health(self) -> Health:
        """Whether the latest commit succeeded and none is stalled. Does no I/O but one look at the file."""
        if self._committer.closed:
            return Health(False, "the ledger is closed", 0)
        error, stalled, pending = self._committer.last_error, self._committer.stalled(), self._committer.pending
        if error is not None:
            return Health(False, f"the latest commit failed: {error}", pending)
        if stalled > STALL_S:
            return Health(False, f"a commit has been waiting for {stalled:.0f} s", pending)
        if self.store.replaced(self._mark):
            return Health(False, f"{self.store.name} was removed or replaced", pending)
        return Health(True, "ok", pending)

    def stalled(self) -> float:
        """Seconds that the commit in progress, or the oldest entry that waits, has been waiting."""
        return self._committer.stalled()

    def on_commit(self, told: Callable[[int, float, int], None]) -> None:
        """Have `told` called after each transaction: entries, seconds, and how many were not recorded. It must not block."""
        self._committer.told = told

    def close(self, timeout: float = 30.0) -> None:
        """Commit what waits and let go of the file. `timeout`: seconds."""
        self._committer.close(timeout)
        self._settling.close(timeout)
        self._line.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _mine(self) -> Committer[Draft, Receipt | None]:
        """The committer, whose thread a forked child does not have."""
        if self._process != os.getpid():
            raise LedgerError("the ledger was opened before a fork", advice="Open it in the process that uses it.")
        return self._committer

    def _draft(self, decision: Decision) -> Draft:
        """Everything of an entry that does not depend on its index."""
        content, released = decision.content, decision.released
        vault = self.keyring.vault
        key, record = vault.key(findable(decision.request.tenant), findable(decision.request.subject)), vault.record()
        sealed: list[Sealed] = []
        payloads: dict[str, dict[str, Any]] = {}
        plaintext = content.payload() if content is not None else None
        if plaintext is not None:
            sealed.append(vault.seal(decision.id.bytes, "original", key, plaintext, record))
            payloads["original"] = sealed[0].commitment
        if released is not None:
            if released is content or (left := released.payload()) == plaintext:
                payloads["released"] = payloads["original"]  # one payload, named twice
            else:
                sealed.append(vault.seal(decision.id.bytes, "released", key, left, record))
                payloads["released"] = sealed[-1].commitment
        draft = decision_draft(decision, payloads, copy_tags(vault, decision))
        draft.sealed, draft.decision, draft.master = tuple(sealed), decision.id, vault.key_id
        if decision.fingerprint and released is not None:
            hidden = vault.seal_fingerprint(decision.id.bytes, key, decision.fingerprint)
            draft.fingerprint = {"decision": str(decision.id), "key": key.id, "sealed": hidden}
        draft.revision = decision.verdict.revision or no_revision(decision)
        draft.again = partial(self._draft, decision)
        return draft

    def _commit(self, drafts: Sequence[Draft]) -> Sequence[Receipt | LedgerError | None]:
        """Commit a group; a draft that the database refuses does not take the others along. Raises LedgerError."""
        if len(drafts) > 1 and any(draft.alone for draft in drafts):
            return [answer for part in _parts(drafts) for answer in self._commit_part(part)]
        try:
            with self.store.clear_errors("write to the ledger"):
                try:
                    return self._lasting(drafts)
                except StaleError as error:
                    if len(drafts) == 1:
                        return [error]
                except IntegrityError as error:
                    if len(drafts) == 1:
                        return [LedgerError(f"the ledger refused an entry: {_first_line(error.orig)}")]
        except LedgerError:
            self._line.drop()  # whatever state it was in, the next group begins with a new one
            raise
        return [answer for draft in drafts for answer in self._commit([draft])]

    def _commit_part(self, drafts: Sequence[Draft]) -> Sequence[Receipt | LedgerError | None]:
        """Commit a part of a group; its failure is an answer, since other parts may be committed already."""
        try:
            return self._commit(drafts)
        except LedgerError as error:
            return [error] * len(drafts)

    def _lasting(self, drafts: Sequence[Draft]) -> Sequence[Receipt | LedgerError | None]:
        """A transaction that outlasts a lost connection: done again, unless its commit turns out to have been done."""
        try:
            return self._transaction(drafts)
        except Exception as error:
            if not self.store.lost(error):
                raise
            unanswered, self._unanswered = self._unanswered, None
            with contextlib.suppress(LedgerError):
                self._line.drop()
        if unanswered is not None and self._was_done(unanswered):
            return self._answers(unanswered)
        return self._transaction(drafts)

    def _was_done(self, commit: _Commit) -> bool:
        """Whether a commit whose answer was lost was done: once the write lock is ours, it was or never will be.

        Raises LedgerError when that cannot be found out: then nothing of it is acknowledged, and it may be in the log.
        """
        connection = self._line.patiently(RECONNECT_S)
        mine = _ENTRY.c.idx >= commit.size, _ENTRY.c.idx < commit.size + len(commit.accepted)
        with connection.begin():
            found = connection.execute(select(_ENTRY.c.leaf).where(*mine).order_by(_ENTRY.c.idx)).scalars()
            return bool(commit.accepted) and [bytes(leaf) for leaf in found] == [draft.leaf for draft in commit.accepted]

    def _probe(self) -> None:
        """A commit without an entry, after one that failed: it writes, so that it succeeds when the next one will."""
        try:
            with self.store.clear_errors("write to the ledger"):
                connection = self._line.connection()
                with connection.begin():
                    self._check_file()
                    self._head(connection)
                    connection.execute(update(_HEAD).values(size=_HEAD.c.size))
        except LedgerError:
            with contextlib.suppress(LedgerError):
                self._line.drop()
            raise

    def _head(self, connection: Connection) -> tuple[int, bytes]:
        """Size and frontier. Raises LedgerError for a head that cannot be, or is older than what was acknowledged."""
        if self._line.fresh:  # what was there for the connection before may be elsewhere now
            self._check_identity(connection)
        size, frontier = read_head(connection)
        if size < self._seen:
            raise LedgerError(
                f"{self.store.name} has {size} entries, expected at least the {self._seen} that were acknowledged: it was "
                "restored from an older copy, or a replica took over that lags behind",
                advice="Run `genguard audit verify --anchor FILE`; nothing is written. To go on all the same, open it again.",
            )
        return size, frontier

    def _check_identity(self, connection: Connection) -> None:
        found = str(connection.execute(select(_LEDGER.c.ledger)).scalar_one())
        if self._identity and found != self._identity:
            raise LedgerError(
                f"{self.store.name} holds another ledger than when it was opened",
                advice="Put it back, or open the ledger again.",
            )
        self._identity, self._line.fresh = found, False

    def _transaction(self, drafts: Sequence[Draft]) -> Sequence[Receipt | LedgerError | None]:
        connection = self._line.connection()
        with no_collection():
            batch = gather(self.store, drafts)  # of nearly all groups every draft is accepted
            with short_turns():
                done = self._committed(connection, batch)
            return self._answers(done)

    def _committed(self, connection: Connection, batch: Batch) -> _Commit:
        drafts = batch.drafts
        failpoint("append: before the lock")
        transaction = connection.begin()
        try:
            failpoint("append: locked")
            self._check_file()
            size, frontier = self._head(connection)
            failpoint("append: head read")
            known = self._known_revisions(connection, drafts)
            answers = _judged(connection, drafts, known)
            accepted = [answer for answer in answers if isinstance(answer, Draft)]
            if size != self._followed:  # another process wrote, which may have changed the key
                self.keyring.follow(connection)
            if self._seal_anew(connection, batch) or len(accepted) < len(drafts):
                batch = gather(self.store, accepted)
            if accepted:
                insert_batch(connection, batch, size)
                peaks, new_size = add_tiles(connection, merkle.unpack(frontier, size), size, batch.leaves)
                add_moments(connection, size, len(accepted))
                failpoint("append: before the head")
                swap_head(connection, size, frontier, new_size, merkle.pack(peaks))
                failpoint("append: head swapped")
                if any(draft.followed for draft in accepted):
                    self.store.announce(connection)
            failpoint("append: before the commit")
        except BaseException:
            transaction.rollback()
            raise
        self._unanswered = _Commit(size, accepted, answers, known)
        transaction.commit()
        failpoint("append: committed")
        done, self._unanswered = self._unanswered, None
        self._check_file(log=True)
        self._settling.wrote(len(done.accepted), self._line.log)
        return done

    def _answers(self, done: _Commit) -> Sequence[Receipt | LedgerError | None]:
        """What each draft of a commit that was done is answered."""
        self._activated |= done.known
        own_change = any(draft.effect is not None for draft in done.accepted)
        self._seen = done.size + len(done.accepted)
        self._followed = -1 if own_change else self._seen
        for draft in done.accepted:
            for sealed in draft.sealed:
                sealed.key.stored = True
        indices = iter(range(done.size, self._seen))
        return [
            Receipt(answer.decision, next(indices), answer.leaf, self._seen) if isinstance(answer, Draft) else answer
            for answer in done.answers
        ]

    def _known_revisions(self, connection: Connection, drafts: Sequence[Draft]) -> set[str]:
        """Those revisions of the group that the ledger already has."""
        asked = {draft.activates or draft.revision for draft in drafts if not draft.registers} - {NO_POLICY}
        known = asked & self._activated
        if unknown := asked - known:
            found = select(_ENTRY.c.revision).where(_ENTRY.c.kind == ACTIVATION, _ENTRY.c.revision.in_(unknown))
            known |= set(connection.execute(found).scalars())
        return known

    def _seal_anew(self, connection: Connection, batch: Batch) -> bool:
        """Seal anew what nobody could ever open: under a key, or a master key, that another process has replaced since.

        Returns whether there was any. Raises StaleError for one that is made elsewhere.
        """
        vault, changed = self.keyring.vault, False
        gone = _destroyed(self.store, connection, batch.stored)
        if not gone and batch.masters <= {vault.key_id}:
            return False
        for draft in batch.drafts:
            lost = [sealed.key for sealed in draft.sealed if sealed.key.id in gone]
            if lost or (draft.sealed and draft.master != vault.key_id):
                if draft.again is None:
                    raise StaleError("its keys were replaced since it was sealed")
                for key in lost:
                    vault.forget(key)
                draft.take(draft.again())
                changed = True
        return changed

    def _check_file(self, *, log: bool = False) -> None:
        """Raise LedgerError when the open file is no longer the one of that name: SQLite would write into the void."""
        if self.store.replaced(self._mark, log=log):
            raise LedgerError(
                f"{self.store.name} was removed or replaced while the ledger was open",
                advice="Put it back, or open the ledger again.",
            )
        self._line.check_log()


def _destroyed(store: Store, connection: Connection, keys: frozenset[str]) -> frozenset[str]:
    """Those of some subject keys that the ledger has no more."""
    if not keys:
        return frozenset()
    asked = list(keys)
    asked += asked[-1:] * ((1 << (len(asked) - 1).bit_length()) - len(asked))  # so that there are few statements
    if store.run(connection, _COUNTED.format(",".join("?" * len(asked))), asked).fetchone()[0] == len(keys):
        return frozenset()
    return keys - set(connection.execute(_THERE, {"keys": asked}).scalars())


def _parts(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """A group cut so that a draft that looks at the log, or changes more than it, is alone in its transaction."""
    for alone, group in groupby(drafts, key=lambda draft: draft.alone):
        part = list(group)
        yield from ([draft] for draft in part) if alone else (part,)


def _judged(connection: Connection, drafts: Sequence[Draft], known: set[str]) -> list[LedgerError | Draft | None]:
    """Each draft that is recorded, why it is not, or None for what is there already; `known` gains what they activate."""
    registered = _known_changes(connection, drafts)
    answers: list[LedgerError | Draft | None] = []
    accepted: list[Draft] = []
    for draft in drafts:
        if draft.plain and draft.revision in known:
            answer: LedgerError | Draft | None = draft
        elif (draft.activates and draft.activates in known) or (draft.registers and draft.registers in registered):
            answer = None
        else:
            answer = _objection(connection, draft, known, accepted) or draft
        answers.append(answer)
        if answer is draft:
            accepted.append(draft)
            known |= {draft.activates} - {""}
            registered |= {draft.registers} - {""}
            if draft.effect is not None:
                draft.effect(connection)
    return answers


def _objection(connection: Connection, draft: Draft, known: set[str], accepted: Sequence[Draft]) -> LedgerError | None:
    """Why a draft is not recorded. `known`: revisions whose documents are there, or come before it in its group."""
    if draft.registers or draft.activates:
        return None
    if draft.revision not in {*known, NO_POLICY}:
        return _not_activated(draft)
    if draft.unless is not None and (why := draft.unless(connection)):
        return RefusedError(why)
    return _mismatch(connection, accepted, draft.rolls_out) if draft.rolls_out else None


def _mismatch(connection: Connection, accepted: Sequence[Draft], rollout: Rollout) -> LedgerError | None:
    """Whether the document of the rollout's revision, or of the one before, is another policy's or not there."""
    found = select(_ENTRY.c.policy, _ENTRY.c.version).where(_ENTRY.c.kind == ACTIVATION)
    for revision in (rollout.revision, *([rollout.previous] if rollout.previous else [])):
        row = connection.execute(found.where(_ENTRY.c.revision == revision)).one_or_none()
        new = ((one.columns["policy"], one.columns["version"]) for one in accepted if one.activates == revision)
        policy, version = row or next(new, ("", 0))
        if policy != rollout.policy or (revision == rollout.revision and version != rollout.version):
            return LedgerError(
                f"found a rollout of policy {rollout.policy!r} version {rollout.version}, "
                f"and revision {revision[:16]} is {f'{policy!r} version {version}' if policy else 'not in the ledger'}",
                advice="Take the step again: `genguard policy status` says what there is.",
            )
    return None


def _known_changes(connection: Connection, drafts: Sequence[Draft]) -> set[str]:
    """Those digests of the group's changes of banks that the ledger already has: whoever was interrupted asks again."""
    if not (asked := {draft.registers for draft in drafts} - {""}):
        return set()
    found = select(_TERM.c.value).where(is_fact(_TERM), _TERM.c.name == BANK_DIGEST, _TERM.c.value.in_(asked))
    return set(connection.execute(found).scalars())


def _receipt(found: Receipt | None) -> Receipt:
    assert found is not None, "only an activation that was there already has no receipt"
    return found


def _not_activated(draft: Draft) -> LedgerError:
    what = "rollout" if draft.rolls_out else "decision"
    return LedgerError(
        f"the ledger has no policy document of revision {draft.revision or '(empty)'}, so the {what} could not be explained",
        advice=f"Call activate with the policy before its first {what}.",
    )


def _first_line(error: BaseException | None) -> str:
    """What a database says first: what follows quotes rows."""
    return next(iter(str(error).splitlines()), type(error).__name__)
