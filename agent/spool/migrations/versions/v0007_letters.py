"""Dead letters keep their place in the queue, and what they were before somebody edited them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Letters of before stand in front of all others, in the order in which they died."""
    op.add_column("messages", sa.Column("place", _BIG, nullable=True))
    op.add_column("dead", sa.Column("place", _BIG, server_default="0", nullable=False))
    op.create_index("dead_in_order", "dead", ["place"])
    op.create_index("dead_of_job_in_order", "dead", ["job", "place"])
    op.create_table(
        "edits",
        sa.Column("letter", _BIG, autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("records", _BIG, server_default="0", nullable=False),
        sa.Column("size", _BIG, server_default="0", nullable=False),
        sa.Column("edited_at", sa.Float(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("letter"),
    )
