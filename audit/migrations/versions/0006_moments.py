"""Between which times each 4096 entries are. About a second for each million entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from audit.migrations.kinds import TEXT, WHOLE

revision = "0006"
down_revision = "0005"

_FILL = (
    "INSERT INTO moment (idx, earliest, latest) SELECT idx / 4096, min(time), max(time) FROM entry "
    "GROUP BY idx / 4096 HAVING count(*) = 4096"
)


def upgrade() -> None:
    """The table with its rows."""
    if "table moment" in context.config.attributes["there"]:
        return
    op.create_table(
        "moment",
        sa.Column("idx", WHOLE, autoincrement=False, nullable=False),
        sa.Column("earliest", TEXT, nullable=False),
        sa.Column("latest", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("idx"),
    )
    op.execute(_FILL)
    for statement in context.config.attributes["triggers"]("moment"):
        op.execute(statement)
