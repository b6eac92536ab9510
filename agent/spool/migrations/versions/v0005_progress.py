"""Messages that are taken apart in place, and the size of body that a target was found to take."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Columns and a table more. What lies in the spool has no form: it is refused as a whole, as before."""
    for table in ("messages", "dead"):
        op.add_column(table, sa.Column("form", sa.Text(), server_default="", nullable=False))
    op.add_column("messages", sa.Column("progress", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "fits",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("size", _BIG, server_default="0", nullable=False),
        sa.Column("refused", _BIG, server_default="0", nullable=False),
        sa.Column("learned_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )
