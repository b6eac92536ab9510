"""The first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _configs() -> None:
    op.create_table(
        "configs",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("deleted", _BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )


def _cursors() -> None:
    op.create_table(
        "cursors",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
    )


def _dead() -> None:
    op.create_table(
        "dead",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("lane", _BIG, server_default="0", nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run", _BIG, server_default="0", nullable=False),
        sa.Column("file", _BIG, nullable=True),
        sa.Column("records", _BIG, server_default="0", nullable=False),
        sa.Column("size", _BIG, server_default="0", nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("spooled_at", sa.Float(), nullable=False),
        sa.Column("died_at", sa.Float(), nullable=False),
        sa.Column("attempts", _BIG, server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answer_headers", sa.Text(), nullable=False),
        sa.Column("answer_body", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("draft_headers", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("dead_of_job", "dead", ["job", "id"], unique=False)


def _dues() -> None:
    op.create_table(
        "dues",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("ident", sa.Text(), nullable=False),
        sa.Column("due", sa.Float(), nullable=True),
        sa.Column("first_seen", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job", "ident"),
    )


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("inode", sa.Text(), nullable=False),
        sa.Column("size", _BIG, server_default="0", nullable=False),
        sa.Column("mtime_ns", _BIG, server_default="0", nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run", _BIG, server_default="0", nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("settled_at", sa.Float(), nullable=True),
        sa.Column("moved_to", sa.Text(), nullable=True),
        sa.Column("waiting", _BIG, server_default="0", nullable=False),
        sa.Column("waiting_records", _BIG, server_default="0", nullable=False),
        sa.Column("waiting_bytes", _BIG, server_default="0", nullable=False),
        sa.Column("delivered", _BIG, server_default="0", nullable=False),
        sa.Column("dead", _BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("files_of_content", "files", ["job", "sha256"], unique=False)
    op.create_index("files_of_path", "files", ["job", "path"], unique=False)
    op.create_index("files_to_settle", "files", ["settled_at", "state"], unique=False)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("waiting", _BIG, server_default="0", nullable=False),
        sa.Column("waiting_records", _BIG, server_default="0", nullable=False),
        sa.Column("waiting_bytes", _BIG, server_default="0", nullable=False),
        sa.Column("held", _BIG, server_default="0", nullable=False),
        sa.Column("held_records", _BIG, server_default="0", nullable=False),
        sa.Column("held_bytes", _BIG, server_default="0", nullable=False),
        sa.Column("delivered", _BIG, server_default="0", nullable=False),
        sa.Column("delivered_records", _BIG, server_default="0", nullable=False),
        sa.Column("dead", _BIG, server_default="0", nullable=False),
        sa.Column("last_run", _BIG, nullable=True),
        sa.Column("last_receipt", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("job"),
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("lane", _BIG, server_default="0", nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run", _BIG, server_default="0", nullable=False),
        sa.Column("file", _BIG, nullable=True),
        sa.Column("records", _BIG, server_default="0", nullable=False),
        sa.Column("size", _BIG, server_default="0", nullable=False),
        sa.Column("attempts", _BIG, server_default="0", nullable=False),
        sa.Column("spooled_at", sa.Float(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("crc", _BIG, server_default="0", nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_of_lane", "messages", ["job", "lane", "id"], unique=False)


def _receipts() -> None:
    op.create_table(
        "receipts",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("lane", _BIG, server_default="0", nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run", _BIG, server_default="0", nullable=False),
        sa.Column("records", _BIG, server_default="0", nullable=False),
        sa.Column("size", _BIG, server_default="0", nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("spooled_at", sa.Float(), nullable=False),
        sa.Column("delivered_at", sa.Float(), nullable=False),
        sa.Column("attempts", _BIG, server_default="0", nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answer_headers", sa.Text(), nullable=False),
        sa.Column("answer_body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("receipts_of_key", "receipts", ["key"], unique=False)


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("due", sa.Float(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("job_sha", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("messages", _BIG, server_default="0", nullable=False),
        sa.Column("records", _BIG, server_default="0", nullable=False),
        sa.Column("bytes", _BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_in_state", "runs", ["state"], unique=False)
    op.create_index("runs_of_job", "runs", ["job", "id"], unique=False)


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("generation", _BIG, server_default="0", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("refreshing", _BIG, nullable=True),
        sa.Column("failures", _BIG, server_default="0", nullable=False),
        sa.Column("blocked_until", sa.Float(), nullable=True),
        sa.Column("secret_mark", sa.Text(), nullable=False),
        sa.Column("logins", _BIG, server_default="0", nullable=False),
        sa.Column("refreshes", _BIG, server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("connection"),
    )


def _waits() -> None:
    op.create_table(
        "waits",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("lane", _BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("until", sa.Float(), nullable=True),
        sa.Column("attempts", _BIG, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("job", "lane"),
    )


def upgrade() -> None:
    """Make every table."""
    _configs()
    _cursors()
    _dead()
    _dues()
    _files()
    _jobs()
    _messages()
    _receipts()
    _runs()
    _sessions()
    _waits()
