"""Receipts by the keys of their records, and messages whose place a newer one takes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Two tables, and columns and indexes more. What lies in the spool has no keys and no subject."""
    op.create_table(
        "receipt_keys",
        sa.Column("receipt", _BIG, autoincrement=False, nullable=False),
        sa.Column("record_keys", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("receipt"),
    )
    op.create_table(
        "key_pages",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("part", _BIG, server_default="0", nullable=False),
        sa.Column("first", _BIG, server_default="0", nullable=False),
        sa.Column("last", _BIG, server_default="0", nullable=False),
        sa.Column("base", _BIG, server_default="0", nullable=False),
        sa.Column("newest", _BIG, server_default="0", nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("receipts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("key_pages_of_part", "key_pages", ["part", "first"], unique=False)
    op.add_column("messages", sa.Column("record_keys", sa.LargeBinary(), nullable=True))
    op.add_column("messages", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("dead", sa.Column("record_keys", sa.LargeBinary(), nullable=True))
    op.add_column("jobs", sa.Column("superseded", _BIG, server_default="0", nullable=False))
    with_keys = sa.text("record_keys IS NOT NULL")
    op.create_index(
        "messages_with_keys", "messages", ["id", "record_keys"], unique=False, sqlite_where=with_keys
    )
    op.create_index(
        "messages_of_subject",
        "messages",
        ["job", "subject", "id"],
        unique=False,
        sqlite_where=sa.text("subject IS NOT NULL"),
    )
    op.create_index("dead_with_keys", "dead", ["id", "record_keys"], unique=False, sqlite_where=with_keys)
    op.create_index("dead_of_key", "dead", ["key"], unique=False)
