"""Windows of time: of each run, how far those of a job are done, and backfills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Columns of runs, and two tables."""
    op.add_column("runs", sa.Column("since", sa.Float(), nullable=True))
    op.add_column("runs", sa.Column("until", sa.Float(), nullable=True))
    op.add_column("runs", sa.Column("held", _BIG, nullable=True))
    op.add_column("runs", sa.Column("backfill", _BIG, nullable=True))
    op.add_column("runs", sa.Column("cursor", sa.Text(), nullable=True))
    op.create_table(
        "windows",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("done", sa.Float(), nullable=False),
        sa.Column("wanted", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )
    op.create_table(
        "backfills",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("done", sa.Float(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("windows", _BIG, server_default="0", nullable=False),
        sa.Column("records", _BIG, server_default="0", nullable=False),
        sa.Column("messages", _BIG, server_default="0", nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("backfills_of_job", "backfills", ["job", "id"], unique=False)
