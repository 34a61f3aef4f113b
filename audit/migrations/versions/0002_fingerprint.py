"""Fingerprints of released images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from audit.migrations.kinds import TEXT, WHOLE

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """The table, unless an earlier version added it without saying so."""
    if "table fingerprint" in context.config.attributes["there"]:
        return
    op.create_table(
        "fingerprint",
        sa.Column("idx", WHOLE, autoincrement=False, nullable=False),
        sa.Column("decision", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("idx"),
    )
    op.create_index("ix_fingerprint_key", "fingerprint", ["key"])
    for statement in context.config.attributes["triggers"]("fingerprint"):
        op.execute(statement)
