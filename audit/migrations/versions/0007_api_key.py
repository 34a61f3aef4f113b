"""API keys of the service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from audit.migrations.kinds import TEXT

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """The table, unless it is there."""
    if "table api_key" in context.config.attributes["there"]:
        return
    op.create_table(
        "api_key",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "name", "tenant", "roles")),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("salt", "digest")),
        sa.Column("cost", sa.Integer, nullable=False),
        sa.Column("made", TEXT, nullable=False),
        *(sa.Column(name, TEXT) for name in ("expires", "revoked", "used")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_api_key_name", "api_key", ["name"])
