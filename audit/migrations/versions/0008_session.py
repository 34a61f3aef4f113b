"""Sessions of browsers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from audit.migrations.kinds import TEXT

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """The table, unless it is there."""
    if "table session" in context.config.attributes["there"]:
        return
    names = ("id", "name", "tenant", "roles", "proof", "made", "seen", "ends")
    columns = [sa.Column(name, TEXT, nullable=False) for name in names]
    op.create_table("session", *columns, sa.PrimaryKeyConstraint("id"))
    op.create_index("ix_session_ends", "session", ["ends"])
