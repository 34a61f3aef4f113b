"""What one actor did, and what one version of a policy decided. About ten seconds for each million entries."""

from __future__ import annotations

from alembic import context, op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """The indexes."""
    for column in ("actor", "version"):
        if f"index ix_entry_{column}" not in context.config.attributes["there"]:
            op.create_index(f"ix_entry_{column}", "entry", [column, "idx"])
