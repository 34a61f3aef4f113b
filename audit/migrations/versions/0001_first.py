"""The tables that ledgers began with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from audit.migrations.kinds import TEXT, WHOLE

revision = "0001"
down_revision = None


def _idx() -> sa.Column[int]:
    return sa.Column("idx", WHOLE, autoincrement=False, nullable=False)


def _index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    held = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=held, postgresql_where=held)


def upgrade() -> None:
    """Tables, indexes and triggers."""
    texts = ("decision", "request", "tenant", "actor", "subject", "stage", "modality", "generator", "model", "action", "policy")
    op.create_table(
        "entry",
        _idx(),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("time", TEXT, nullable=False),
        *(sa.Column(name, TEXT) for name in texts),
        sa.Column("version", WHOLE),
        sa.Column("revision", TEXT),
        sa.Column("parent", TEXT),
        sa.PrimaryKeyConstraint("idx"),
        sa.CheckConstraint("idx >= 0", name="ck_entry_idx"),
        sa.CheckConstraint("length(leaf) = 32", name="ck_entry_leaf"),
    )
    for name in ("time", "request", "tenant", "generator", "action", "policy"):
        op.create_index(f"ix_entry_{name}", "entry", [name])
    _index("ux_entry_decision", "entry", ["decision"], "decision IS NOT NULL", unique=True)
    _index("ux_entry_activation", "entry", ["revision"], "kind = 'policy_activate'", unique=True)
    _index("ix_entry_parent", "entry", ["parent"], "parent IS NOT NULL")
    _index("ix_entry_subject", "entry", ["tenant", "subject"], "subject <> ''")
    op.create_table(
        "term",
        _idx(),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("idx", "name", "value"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_term_value", "term", ["name", "value", "idx"])
    op.create_table(
        "head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="ck_head_one"),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("ledger", TEXT, nullable=False),
        sa.Column("database_schema", sa.Integer, nullable=False),
        sa.Column("key_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("id = 1", name="ck_ledger_one"),
    )
    op.create_table(
        "payload",
        _idx(),
        sa.Column("part", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("idx", "part"),
    )
    op.create_index("ix_payload_key", "payload", ["key"])
    op.create_table(
        "subject_key",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_subject_key_subject", "subject_key", ["tenant", "subject"])
    for statement in context.config.attributes["triggers"]("entry", "term", "head", "ledger", "payload"):
        op.execute(statement)
