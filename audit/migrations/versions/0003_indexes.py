"""A tenant's entries of one action, and the few entries that are no decisions. About a second for each million entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The indexes, unless an earlier version added them without saying so."""
    there = context.config.attributes["there"]
    if "index ix_entry_tenant_action" not in there:
        op.create_index("ix_entry_tenant_action", "entry", ["tenant", "action", "idx"])
    if "index ix_entry_kind" not in there:
        others = sa.text("kind <> 'decision'")
        op.create_index("ix_entry_kind", "entry", ["kind", "idx"], sqlite_where=others, postgresql_where=others)
