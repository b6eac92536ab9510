"""Receipts that say which message they are of: it leaves the queue a little later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """One column."""
    op.add_column("receipts", sa.Column("message", _BIG, nullable=True))
