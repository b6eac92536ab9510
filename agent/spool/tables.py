"""The tables, as SQLAlchemy Core knows them. `migrations/` makes them; a test holds the two together.

    jobs       one row per job: counters, kept in the same transactions as what they count
    runs       collects, skipped ones too      messages   the queue; deleted by ack and bury
    files      source files that were met      receipts   what is kept of a delivery
    cursors    how far a source was read       dead       dead letters
    layouts    how a job is dealt out to lanes edits      what edited letters were before
    fits       the size of body that a target takes
    waits      why a lane waits                sessions   sealed tokens and login counts
    dues       schedule memory                 configs    last good text of each config file
    windows    how far each job's are done     backfills  of windows, by hand
    pauses     what a person has paused

    receipt_keys, key_pages   which receipts have a record with which key (see `key_index`)

Times are REAL seconds since 1970, JSON is text, booleans are 0 and 1: plain types that every database has.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.types import BigInteger

metadata = MetaData()
# SQLite numbers rows only in a column whose type is exactly INTEGER.
_BIG = BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _number(name: str) -> Column[int]:
    return Column(name, _BIG, nullable=False, server_default="0")


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Float, nullable=nullable)


def _id() -> Column[int]:
    return Column("id", _BIG, primary_key=True, autoincrement=True)


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True, nullable=False)


# sqlite_autoincrement: an id is never given twice, so `after` and the order of a lane survive an empty
# queue. (PostgreSQL's sequences do so by themselves.)

jobs = Table(
    "jobs",
    metadata,
    _key("job"),
    *(_number(name) for name in ("waiting", "waiting_records", "waiting_bytes")),
    *(_number(name) for name in ("held", "held_records", "held_bytes")),
    *(_number(name) for name in ("delivered", "delivered_records", "dead", "expired", "superseded")),
    Column("last_run", _BIG),
    Column("last_receipt", _BIG),
)

runs = Table(
    "runs",
    metadata,
    _id(),
    _text("job"),
    _time("due"),
    _text("trigger"),
    _text("job_sha"),
    _text("state"),
    _text("reason", ""),
    _time("started_at"),
    _time("ended_at", nullable=True),
    *(_number(name) for name in ("messages", "records", "bytes")),
    *(_time(name, nullable=True) for name in ("since", "until")),
    Column("held", _BIG),  # the row of `files` that holds its messages until its window is read to the end
    Column("backfill", _BIG),
    Column("cursor", Text),  # of a run whose messages are held: counts when they do
    Index("runs_of_job", "job", "id"),
    Index("runs_in_state", "state"),
    sqlite_autoincrement=True,
)

messages = Table(
    "messages",
    metadata,
    _id(),
    _text("job"),
    _number("lane"),
    Column("key", Text, nullable=False, unique=True),
    _number("run"),
    Column("file", _BIG),
    *(_number(name) for name in ("records", "size", "attempts")),
    _time("spooled_at"),
    _time("as_of", nullable=True),
    _text("origin"),
    _text("content_type"),
    Column("path", Text),
    _text("headers"),
    _text("form", ""),
    _text("progress", ""),  # "" while it is whole
    Column("record_keys", LargeBinary),
    Column("subject", Text),
    Column("place", _BIG),  # where it stood before it died and was sent again; NULL: at its id
    _number("crc"),  # of all that is sent: SQLite has no checksums, and a flipped bit must not leave
    Column("body", LargeBinary, nullable=False),  # last, so that nobody reads through it
    Index("messages_of_lane", "job", "lane", "id"),
    # keys in the order of the messages: all that looking for one reads, and written side by side
    Index("messages_with_keys", "id", "record_keys", sqlite_where=text("record_keys IS NOT NULL")),
    Index("messages_of_subject", "job", "subject", "id", sqlite_where=text("subject IS NOT NULL")),
    sqlite_autoincrement=True,
)

layouts = Table("layouts", metadata, _key("job"), _number("generation"), _text("name"), _number("lanes"))

# Where a target said 413: the largest body (bytes before gzip) that is made, and what was refused.
fits = Table("fits", metadata, _key("job"), _number("size"), _number("refused"), _time("learned_at"))

receipts = Table(
    "receipts",
    metadata,
    _id(),
    _text("job"),
    _number("lane"),
    _text("key"),
    *(_number(name) for name in ("run", "records", "size")),
    _text("origin"),
    _time("spooled_at"),
    _time("delivered_at"),
    _number("attempts"),
    _text("method"),
    _text("url"),
    Column("status", Integer),
    *(_text(name) for name in ("answer", "answer_headers", "answer_body")),
    Index("receipts_of_key", "key"),
    sqlite_autoincrement=True,
)

receipt_keys = Table(
    "receipt_keys",
    metadata,
    Column("receipt", _BIG, primary_key=True, nullable=False, autoincrement=False),
    Column("record_keys", LargeBinary, nullable=False),
)

key_pages = Table(
    "key_pages",
    metadata,
    _id(),
    *(_number(name) for name in ("part", "first", "last", "base", "newest")),
    Column("marks", LargeBinary, nullable=False),
    Column("receipts", LargeBinary, nullable=False),
    Index("key_pages_of_part", "part", "first"),
    sqlite_autoincrement=True,
)

dead = Table(
    "dead",
    metadata,
    _id(),
    _text("job"),
    _number("lane"),
    _text("key"),
    _number("run"),
    Column("file", _BIG),
    *(_number(name) for name in ("records", "size")),
    _text("origin"),
    _time("spooled_at"),
    _time("died_at"),
    _number("attempts"),
    _text("reason"),
    *(_text(name) for name in ("method", "url", "content_type", "headers")),
    Column("status", Integer),
    *(_text(name) for name in ("answer", "answer_headers", "answer_body")),
    Column("path", Text),  # path and headers of the draft, for a retry; both NULL: never was a message
    Column("draft_headers", Text),
    _text("form", ""),
    Column("record_keys", LargeBinary),
    _number("place"),  # where it stood in the queue: the order of letters among themselves
    Column("body", LargeBinary, nullable=False),
    Index("dead_of_job", "job", "id"),
    Index("dead_with_keys", "id", "record_keys", sqlite_where=text("record_keys IS NOT NULL")),
    Index("dead_of_key", "key"),
    Index("dead_in_order", "place"),
    Index("dead_of_job_in_order", "job", "place"),
    sqlite_autoincrement=True,
)

edits = Table(
    "edits",
    metadata,
    Column("letter", _BIG, primary_key=True, nullable=False, autoincrement=False),
    _text("key"),
    *(_number(name) for name in ("records", "size")),
    _time("edited_at"),
    Column("body", LargeBinary, nullable=False),
)

files = Table(
    "files",
    metadata,
    _id(),
    _text("job"),
    _text("path"),
    _text("device"),  # text: 64 bits without a sign are more than a database's integer holds
    _text("inode"),
    *(_number(name) for name in ("size", "mtime_ns")),
    *(_text(name) for name in ("sha256", "state", "reason")),
    _number("run"),
    _time("seen_at"),
    _time("settled_at", nullable=True),
    Column("moved_to", Text),
    *(_number(name) for name in ("waiting", "waiting_records", "waiting_bytes", "delivered", "dead")),
    Index("files_of_path", "job", "path"),
    Index("files_of_content", "job", "sha256"),
    Index("files_to_settle", "settled_at", "state"),
    sqlite_autoincrement=True,
)

cursors = Table("cursors", metadata, _key("job"), _text("value"), _time("updated_at"))

waits = Table(
    "waits",
    metadata,
    _key("job"),
    Column("lane", _BIG, primary_key=True, nullable=False, autoincrement=False),
    _text("kind"),
    _text("reason"),
    _time("since"),
    _time("until", nullable=True),
    _number("attempts"),
)

sessions = Table(
    "sessions",
    metadata,
    _key("connection"),
    _text("identity"),
    _number("generation"),
    Column("sealed", LargeBinary),
    Column("refreshing", _BIG),
    _number("failures"),
    _time("blocked_until", nullable=True),
    _text("secret_mark"),
    _number("logins"),
    _number("refreshes"),
    _text("last_error"),
    _time("updated_at"),
    _time("expires_at", nullable=True),
    _text("spent", default=""),
)

dues = Table(
    "dues",
    metadata,
    _key("job"),
    _key("ident"),
    _time("due", nullable=True),
    _time("first_seen"),
)

windows = Table(
    "windows", metadata, _key("job"), _time("done"), _time("wanted", nullable=True), _time("updated_at")
)

backfills = Table(
    "backfills",
    metadata,
    _id(),
    _text("job"),
    *(_time(name) for name in ("since", "until")),
    _text("step"),
    _time("done"),
    *(_text(name) for name in ("state", "reason")),
    *(_number(name) for name in ("windows", "records", "messages")),
    *(_time(name) for name in ("started_at", "updated_at")),
    Index("backfills_of_job", "job", "id"),
    sqlite_autoincrement=True,
)

pauses = Table(
    "pauses",
    metadata,
    *(_key(name) for name in ("kind", "name", "part")),
    _text("reason"),
    _time("since"),
    _time("until", nullable=True),
)

configs = Table(
    "configs",
    metadata,
    _key("path"),
    _text("kind"),
    _text("name"),
    Column("text", LargeBinary, nullable=False),
    _text("sha256"),
    _time("accepted_at"),
    _number("deleted"),
)
