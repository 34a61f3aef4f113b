"""Batches of changes of banks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from audit.migrations.kinds import TEXT, WHOLE

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """The table, unless it is there."""
    if "table bank_batch" in context.config.attributes["there"]:
        return
    op.create_table(
        "bank_batch",
        sa.Column("idx", WHOLE, autoincrement=False, nullable=False),
        sa.Column("piece", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("bank", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("idx", "piece"),
    )
    op.create_index("ix_bank_batch_bank", "bank_batch", ["bank", "idx"])
    for statement in context.config.attributes["triggers"]("bank_batch"):
        op.execute(statement)
