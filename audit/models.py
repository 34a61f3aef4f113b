"""The tables, and the triggers that keep them append-only.

`entry.body` is the truth: its bytes are what the tree's leaf is the hash of. Every other column of `entry`, and every row of
`term`, only makes entries findable; the verifier derives each again from the body (`audit.projected`) and compares. `head`
changes in the transaction that adds entries. Payloads and fingerprints lie apart, so that they can go while the log stays.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    and_,
    literal_column,
    text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

from audit.body import ACTIVATION, DECISION
from audit.findable import findable
from audit.projected import COPY_TAGS, ENTRY_COLUMNS, SPAN

SCHEMA_VERSION = 1
"""Version of the tables; a database of another version is refused."""

metadata = MetaData()
"""Only the ledger's tables: an application's own SQLModel tables stay out of it."""


class Base(SQLModel):
    """A table of the ledger."""

    metadata = metadata


class Findable(TypeDecorator[str]):
    """A column of such texts: what is compared with it is written the same way.

    Text is compared by its bytes: a page of ids, a range of times mean the same whatever a server's locale is.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """See SQLAlchemy. Not by way of the dialect, whose own type of text would be VARCHAR."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """See SQLAlchemy. A lone surrogate is in no ledger: a question mark stands for it."""
        del dialect
        if value is None or value.isascii():
            return value if value is None else findable(value)
        return findable(value.encode("utf-8", "replace").decode())


_TEXT = Findable()
_TAGS = tuple(sorted(COPY_TAGS))
_SPAN = f"(idx / {SPAN})"
_WHOLE = Integer().with_variant(BigInteger(), "postgresql")
"""64 bits on both: only a column that SQLite knows as INTEGER can be the number of a row."""


def _text(index: bool = False) -> Any:
    return Field(default=None, sa_type=_TEXT, index=index)


def _idx() -> Any:
    return Column("idx", _WHOLE, primary_key=True, autoincrement=False)


def _partly(name: str, *columns: str | TextClause, where: str, unique: bool = False) -> Index:
    """An index of some rows."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


class Entry(Base, table=True):
    """One entry of the log. `body` is empty only once retention has pruned it; `leaf` stays for ever."""

    __table_args__ = (
        _partly("ux_entry_decision", "decision", where="decision IS NOT NULL", unique=True),
        _partly("ux_entry_activation", "revision", where=f"kind = '{ACTIVATION}'", unique=True),
        _partly("ix_entry_parent", "parent", where="parent IS NOT NULL"),
        _partly("ix_entry_subject", "tenant", "subject", where="subject <> ''"),
        Index("ix_entry_tenant_action", "tenant", "action", "idx"),
        Index("ix_entry_actor", "actor", "idx"),
        Index("ix_entry_version", "version", "idx"),
        _partly("ix_entry_kind", "kind", "idx", where=f"kind <> '{DECISION}'"),
        CheckConstraint("idx >= 0", name="ck_entry_idx"),
        CheckConstraint("length(leaf) = 32", name="ck_entry_leaf"),
    )

    idx: int = Field(sa_column=_idx())
    leaf: bytes = Field(sa_type=LargeBinary)
    kind: str = Field(sa_type=_TEXT)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    time: str = Field(sa_type=_TEXT, index=True)
    decision: str | None = _text()
    request: str | None = _text(index=True)
    tenant: str | None = _text(index=True)
    actor: str | None = _text()
    subject: str | None = _text()
    stage: str | None = _text()
    modality: str | None = _text()
    generator: str | None = _text(index=True)
    model: str | None = _text()
    action: str | None = _text(index=True)
    policy: str | None = _text(index=True)
    version: int | None = Field(default=None, sa_type=_WHOLE)
    revision: str | None = _text()
    parent: str | None = _text()


class Term(Base, table=True):
    """A fact of an entry.

    `rule`, `category`, `mark`, `shadow`, `purpose`, `consent`, `exact`, `folded`, `reviewed`, `bank`, `bank_digest`, `rollout`,
    `step`, and what `audit.events.KINDS` names.
    """

    __table_args__ = (
        _partly("ix_term_fact", "name", "value", "idx", where=" AND ".join([f"(name <> '{name}')" for name in _TAGS])),
        # Tags come in no order: by spans, so that those of new entries lie together.
        _partly("ix_term_tag", text(_SPAN), "name", "value", where=" OR ".join([f"(name = '{name}')" for name in _TAGS])),
        {"sqlite_with_rowid": False},
    )

    idx: int = Field(sa_column=_idx())
    name: str = Field(sa_type=_TEXT, primary_key=True)
    value: str = Field(sa_type=_TEXT, primary_key=True)


class Head(Base, table=True):
    """One row: how many entries there are, and the tree's frontier over them."""

    __table_args__ = (CheckConstraint("id = 1", name="ck_head_one"),)

    id: int = Field(sa_column=Column("id", Integer, primary_key=True, autoincrement=False))
    size: int = Field(sa_type=BigInteger)
    frontier: bytes = Field(sa_type=LargeBinary)


class LedgerRow(Base, table=True):
    """One row: which ledger this is. Entry 0 says the same and is in the tree."""

    __tablename__ = "ledger"
    __table_args__ = (CheckConstraint("id = 1", name="ck_ledger_one"),)

    id: int = Field(sa_column=Column("id", Integer, primary_key=True, autoincrement=False))
    ledger: str = Field(sa_type=_TEXT)
    database_schema: int = Field(sa_type=Integer)
    key_id: str = Field(sa_type=_TEXT)


class Payload(Base, table=True):
    """An encrypted payload: `part` is `original` or `released`; `wrapped` is its record key under the subject's key."""

    __table_args__ = (Index("ix_payload_key", "key"),)

    idx: int = Field(sa_column=_idx())
    part: str = Field(sa_type=_TEXT, primary_key=True)
    key: str = Field(sa_type=_TEXT)
    nonce: bytes = Field(sa_type=LargeBinary)
    wrapped: bytes = Field(sa_type=LargeBinary)
    ciphertext: bytes = Field(sa_type=LargeBinary)


class SubjectKey(Base, table=True):
    """A key that payloads of one subject are sealed under, itself under the master key. A subject may have several."""

    __tablename__ = "subject_key"
    __table_args__ = (Index("ix_subject_key_subject", "tenant", "subject"),)

    id: str = Field(sa_type=_TEXT, primary_key=True)
    tenant: str = Field(sa_type=_TEXT)
    subject: str = Field(sa_type=_TEXT)
    wrapped: bytes = Field(sa_type=LargeBinary)


class Fingerprint(Base, table=True):
    """The fingerprint of a released image: `sealed` under the subject's key, for this decision."""

    __table_args__ = (Index("ix_fingerprint_key", "key"),)

    idx: int = Field(sa_column=_idx())
    decision: str = Field(sa_type=_TEXT)
    key: str = Field(sa_type=_TEXT)
    sealed: bytes = Field(sa_type=LargeBinary)


class TileHash(Base, table=True):
    """The root over a full tile of the tree: hash `idx` of level `level`, from 1 on (`audit.tile_rows`)."""

    __tablename__ = "tile"
    __table_args__ = (CheckConstraint("length(hash) = 32", name="ck_tile_hash"),)

    level: int = Field(sa_column=Column("level", Integer, primary_key=True, autoincrement=False))
    idx: int = Field(sa_column=Column("idx", Integer, primary_key=True, autoincrement=False))
    hash: bytes = Field(sa_type=LargeBinary)


class Moment(Base, table=True):
    """The earliest and the latest time of a full span of entries (`audit.moments`); `idx` counts spans."""

    idx: int = Field(sa_column=_idx())
    earliest: str = Field(sa_type=_TEXT)
    latest: str = Field(sa_type=_TEXT)


class ApiKeyRow(Base, table=True):
    """A key of the service (`audit.api_keys`). It changes when it is used, replaced or withdrawn: the entries say when."""

    __tablename__ = "api_key"
    __table_args__ = (Index("ix_api_key_name", "name"),)

    id: str = Field(sa_type=_TEXT, primary_key=True)
    name: str = Field(sa_type=_TEXT)
    tenant: str = Field(sa_type=_TEXT)
    roles: str = Field(sa_type=_TEXT)
    salt: bytes = Field(sa_type=LargeBinary)
    digest: bytes = Field(sa_type=LargeBinary)
    cost: int = Field(sa_type=Integer)
    made: str = Field(sa_type=_TEXT)
    expires: str | None = _text()
    revoked: str | None = _text()
    used: str | None = _text()


class SessionRow(Base, table=True):
    """Somebody who logged in with a browser (`audit.sessions`); `id` is the SHA-256 of what the browser has."""

    __tablename__ = "session"
    __table_args__ = (Index("ix_session_ends", "ends"),)

    id: str = Field(sa_type=_TEXT, primary_key=True)
    name: str = Field(sa_type=_TEXT)
    tenant: str = Field(sa_type=_TEXT)
    roles: str = Field(sa_type=_TEXT)
    proof: str = Field(sa_type=_TEXT)
    made: str = Field(sa_type=_TEXT)
    seen: str = Field(sa_type=_TEXT)
    ends: str = Field(sa_type=_TEXT)


class BankBatch(Base, table=True):
    """A piece of a batch of changes of a bank (`audit.banks`), beside the entry `idx` that says what it came to.

    `digest` is the bank's after it. Rows of a bank may only go all together, with the bank.
    """

    __tablename__ = "bank_batch"
    __table_args__ = (Index("ix_bank_batch_bank", "bank", "idx"),)

    idx: int = Field(sa_column=_idx())
    piece: int = Field(sa_column=Column("piece", Integer, primary_key=True, autoincrement=False))
    bank: str = Field(sa_type=_TEXT)
    digest: str = Field(sa_type=_TEXT)
    data: bytes = Field(sa_type=LargeBinary)


class SchemaVersion(Base, table=True):
    """One row: which of the migrations made the tables what they are (`audit.migrate`)."""

    __tablename__ = "schema_version"

    version_num: str = Field(sa_type=_TEXT, primary_key=True)


LATER = frozenset({"api_key", "bank_batch", "fingerprint", "moment", "session", "tile", "schema_version"})
"""Tables that ledgers of before do not have: the writer adds them when it opens one (`audit.migrate`), readers do without."""


LATER_INDEXES = frozenset(
    {"ix_entry_tenant_action", "ix_entry_kind", "ix_entry_actor", "ix_entry_version", "ix_term_fact", "ix_term_tag"}
)
"""Indexes that ledgers of before do not have, likewise. On SQLite an index on one column serves pages by `idx` as well, for
it ends with the row's number; these serve what none of those does: a tenant's entries of one action, the few entries that
are no decisions, what somebody did who did little, and what a version decided that is long out of force. Each costs an
append 1 to 2 us. Those on terms replace FORMER_INDEXES."""

FORMER_INDEXES = {"ix_term_value": ("ix_term_fact", "term", ("name", "value", "idx"))}
"""Indexes that only ledgers of before have: by what each was replaced, and its table and columns."""


def is_fact(term: FromClause) -> ColumnElement[bool]:
    """Of a row of `term`: that it is no tag of a copy. Every statement that looks names up says so, in these very words.

    The index on names and values leaves tags out, and neither database can tell from a parameter that it will do.
    """
    return and_(*[term.c.name != literal_column(f"'{name}'") for name in _TAGS])


def tables() -> tuple[Table, Table, Table, Table, Table, Table]:
    """The tables behind Entry, Term, Head, LedgerRow, Payload and SubjectKey, for SQLAlchemy Core."""
    found = metadata.tables
    return found["entry"], found["term"], found["head"], found["ledger"], found["payload"], found["subject_key"]


FINGERPRINT = metadata.tables["fingerprint"]
"""The table behind Fingerprint."""

API_KEYS = metadata.tables["api_key"]
"""The table behind ApiKeyRow."""

SESSIONS = metadata.tables["session"]
"""The table behind SessionRow."""

BANK_BATCHES = metadata.tables["bank_batch"]
"""The table behind BankBatch."""

SCHEMA = metadata.tables["schema_version"]
"""The table behind SchemaVersion."""

assert tuple(column.name for column in metadata.tables["entry"].columns) == ENTRY_COLUMNS, "audit.projected names them"

FORBIDDEN = (
    ("entry", "UPDATE"),
    ("entry", "DELETE"),
    ("term", "UPDATE"),
    ("term", "DELETE"),
    ("head", "DELETE"),
    ("ledger", "UPDATE"),
    ("ledger", "DELETE"),
    ("payload", "UPDATE"),
    ("fingerprint", "UPDATE"),
    ("tile", "UPDATE"),
    ("tile", "DELETE"),
    ("moment", "UPDATE"),
    ("moment", "DELETE"),
    ("bank_batch", "UPDATE"),
)
"""What triggers refuse, by table and statement."""

TRIGGERS = (
    *(
        f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} "
        f"BEGIN SELECT RAISE(ABORT, '{name} rows cannot be changed: {verb.lower()} refused'); END"
        for name, verb in FORBIDDEN
    ),
    # INSERT OR REPLACE deletes without a delete trigger.
    (
        "CREATE TRIGGER entry_no_replace BEFORE INSERT ON entry WHEN EXISTS (SELECT 1 FROM entry WHERE idx = NEW.idx) "
        "BEGIN SELECT RAISE(ABORT, 'entry rows cannot be changed: replace refused'); END"
    ),
)
"""Those of SQLite (`audit.stores.catalog` has PostgreSQL's). They stop mistakes and careless tools. Who may write to the
file can drop them: the tree is what shows that."""
