"""A ledger of 200 entries that has every kind of entry, every kind of row, gaps that are explained, and signed checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from ledger_examples import DOCUMENT, REVISION, decision, picture, verdict
from sqlalchemy.engine import make_url

from audit import review_steps as steps
from audit.access import record_access
from audit.anchor import FileAnchor
from audit.api_keys import make_key, revoke_key
from audit.api_keys import rotate_key as rotate_key_of_api
from audit.erasure import erase
from audit.events import opening_event
from audit.export.run import Order, export
from audit.holds import lift_hold, set_hold
from audit.ledger import SqlLedger, open_ledger
from audit.log_key import need_log_key
from audit.models import metadata
from audit.notary import Notary
from audit.retention import prune
from audit.rotation import rotate_key
from audit.sessions import Session, begin_session, end_session, record_refusals
from audit.stores import open_store
from guard.note import PublicKey
from guard.types import Action, BankChange, Opening, Reviewed, Rollout, Shadow, Step, Verdict

SIZE = 200
LOG_KEY = "ledger.db.log.key"
NOW = datetime(2026, 11, 27, tzinfo=UTC) + timedelta(days=1500)
OLD = NOW - timedelta(days=1000)
SECOND = DOCUMENT.replace("threat", "threats")
SECOND_REVISION = sha256(SECOND.encode()).hexdigest()
DIGESTS = [f"{number:064x}" for number in range(4)]
_ACTIONS = list(Action)


@dataclass
class Made:
    """It, and what belongs to it."""

    url: str
    folder: Path
    """Where its keys lie."""
    anchor: FileAnchor
    key: PublicKey
    half: str
    """The URL of a copy of it as it was at half its size."""
    half_key: Path
    """The master key of then."""

    @property
    def path(self) -> Path:
        """The file, of one in a file."""
        return self.folder / "ledger.db"


def make(folder: Path, url: str = "", half: str = "") -> Made:
    """Write it: into a file, or where `url` says, with a copy at `half`. Keys lie in the folder."""
    url, half = url or f"sqlite:///{folder / 'ledger.db'}", half or f"sqlite:///{folder / 'half.db'}"
    anchor = FileAnchor(folder / "anchor.txt")
    with open_ledger(url) as opened:
        key = need_log_key(folder, opened.identity, folder / LOG_KEY)
        notary = Notary(opened.reader, opened.store, key, (anchor,))
        _policies(opened)
        _decisions(opened, 60, old=True)
        notary.sign()
        _persons(opened)
        master = opened.store.beside(".key")
        opened.close()
        copy(url, half)
        half_key = folder / "half.key"
        half_key.write_bytes(master.read_bytes())
    with open_ledger(url) as opened:
        _forgetting(opened, folder, url)
        rotate_key(opened, actor="ann", reason="once a year")
        _decisions(opened, SIZE - opened.size - 1, old=False)
        Notary(opened.reader, opened.store, key, (anchor,)).sign()
        opened.append_sync(decision(number=999, subject="subject-0"))
        assert opened.size == SIZE
    return Made(url, folder, anchor, key.public, half, half_key)


def copy(url: str, to: str) -> None:
    """A whole ledger to an empty place of the same kind."""
    store, other = open_store(url), open_store(to)
    if store.path is not None and other.path is not None:
        other.path.write_bytes(store.path.read_bytes())
        return
    engine = other.writer(5000)
    with engine.connect() as connection, connection.begin():
        metadata.create_all(connection)
        other.make_triggers(connection, list(other.triggers))
        for table in metadata.sorted_tables:
            connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM {schema(url)}.{table}")
    engine.dispose()


def schema(url: str) -> str:
    """That a URL of a server names."""
    return make_url(url).query["options"].partition("search_path=")[2]


def _policies(ledger: SqlLedger) -> None:
    ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
    ledger.activate_sync("enterprise", 5, SECOND_REVISION, SECOND)
    step = Rollout("enterprise", 4, REVISION, Step.ACTIVATE, "ann", "The first.", OLD)
    ledger.roll_out_sync(step)
    more = Rollout("enterprise", 5, SECOND_REVISION, Step.SHADOW, "ann", "Looser.", OLD, previous=REVISION)
    ledger.roll_out_sync(more)
    ledger.roll_out_sync(replace(more, step=Step.CANARY, share=10, by="tenants"))
    ledger.roll_out_sync(replace(more, step=Step.STOP))
    for before, after in pairwise(DIGESTS):
        ledger.register_sync(BankChange("mine", "protected", before, after, 2, 1, ("a", "b"), "ann", "works.csv", OLD))


def _decisions(ledger: SqlLedger, count: int, *, old: bool) -> None:
    for number in range(count):
        more = {"number": number, "subject": f"subject-{number % 7}", "tenant": ("acme", "beta")[number % 2]}
        when = OLD if old and number < 20 else NOW - timedelta(days=2)
        if number % 6 == 5:
            made = picture(number, subject=more["subject"], time=when)
        else:
            made = decision(_ACTIONS[number % len(_ACTIONS)], time=when, **more)
        if number % 9 == 4:
            shadow = replace(verdict(Action.BLOCK), revision=SECOND_REVISION, version=5)
            made = replace(made, shadows=(Shadow(shadow, made.results),))
        ledger.append_sync(made)
    refused = Verdict(Action.BLOCK, (), "no policy covers this generator", "", 0, "")
    if not old:
        return
    ledger.append_sync(replace(decision(number=7000), verdict=refused, released=None, results=(), marks=()))


def _persons(ledger: SqlLedger) -> None:
    held = [decision(Action.REVIEW, number=number, subject=f"subject-{number % 7}") for number in range(8)]
    for one in held:
        ledger.append_sync(one)
    ids = [str(one.id) for one in held]
    for number, one in enumerate(ids[:6]):
        steps.claim(ledger, one, "bob")
        outcome = "release" if number < 3 else "withhold"
        taken = steps.decide(ledger, one, "bob", outcome, "quality" if number < 3 else "policy_correct", "because")
        if number == 0:
            whose = Reviewed(UUID(one), held[0].time, ("card-number",), "bob", "quality", taken.index)
            ledger.append_sync(decision(Action.REDACT, number=500, reviewed=whose, parent=UUID(one)))
    steps.claim(ledger, ids[6], "cas")
    steps.release_claim(ledger, ids[6], "cas")
    steps.appeal(ledger, ids[3], "key-1", "it was a joke")
    steps.claim(ledger, ids[3], "cas")
    steps.decide(ledger, ids[3], "cas", "withhold", "legal", "an order")
    steps.overrule(ledger, ids[4], "dee", "release", "it is fine")
    steps.undo(ledger, ids[5], "bob", "too quick")
    plain = [decision(Action.ALLOW, number=600 + number) for number in range(3)]
    for one in plain:
        ledger.append_sync(one)
    opening = Opening(uuid5(NAMESPACE_OID, "streamed"), plain[0].id, plain[0].request, "language", 0, "enterprise", REVISION)
    ledger.record_sync(opening_event(opening))
    steps.feedback(ledger, str(plain[0].id), "desk", "missed_harm", "look at this")
    steps.sample(ledger, str(plain[1].id), "system", persons=2)
    record_access(ledger, "eve", "case 12", about=str(plain[2].id), parts=("original",), tenant="acme", subject="subject-9")
    record_access(ledger, "eve", "an emergency", query="action:block", count=3, break_glass=True)


def _forgetting(ledger: SqlLedger, folder: Path, url: str) -> None:
    hold = set_hold(ledger, "request:req-2", actor="eve", reason="case 12")
    other = set_hold(ledger, "tenant:nobody", actor="eve", reason="case 13")
    lift_hold(ledger, other.id, actor="eve", reason="it is over")
    erase(ledger, "subject-3", actor="ann", reason="asked for", basis="GDPR Art. 17(1)(b)")
    dropped = prune(ledger, 365, actor="ann", now=NOW)
    assert (dropped.bodies, dropped.held) == (19, {hold.id: 1}), dropped
    made = make_key(ledger, "desk", ["caller"], actor="root", tenant="acme")
    rotate_key_of_api(ledger, made.key.id, actor="root", overlap=timedelta(hours=1))
    revoke_key(ledger, "desk", actor="root", reason="lost")
    session = Session("kim", "acme", ("officer",), f"key:{made.key.id}", NOW, NOW, NOW + timedelta(hours=12))
    end_session(ledger, begin_session(ledger, session), session)
    record_refusals(ledger, "key", 3)
    export(Order(url, "csv", "action:block", "kim"), folder / "all.csv", ledger.record_sync)
