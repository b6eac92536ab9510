"""Several lanes for a job, and messages that can be too old to be sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """A table and two columns more. What lies in the spool is in the first layout, one lane."""
    op.create_table(
        "layouts",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("generation", _BIG, server_default="0", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lanes", _BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )
    op.add_column("messages", sa.Column("as_of", sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("expired", _BIG, server_default="0", nullable=False))
