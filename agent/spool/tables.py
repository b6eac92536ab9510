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

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

from agent.spool.columns import BIG, a_key, a_number, a_text, a_time, an_id

metadata = MetaData()

# sqlite_autoincrement: an id is never given twice, so `after` and the order of a lane survive an empty
# queue. (PostgreSQL's sequences do so by themselves.)

jobs = Table(
    "jobs",
    metadata,
    a_key("job"),
    *(a_number(name) for name in ("waiting", "waiting_records", "waiting_bytes")),
    *(a_number(name) for name in ("held", "held_records", "held_bytes")),
    *(a_number(name) for name in ("delivered", "delivered_records", "dead", "expired", "superseded")),
    Column("last_run", BIG),
    Column("last_receipt", BIG),
)

runs = Table(
    "runs",
    metadata,
    an_id(),
    a_text("job"),
    a_time("due"),
    a_text("trigger"),
    a_text("job_sha"),
    a_text("state"),
    a_text("reason", ""),
    a_time("started_at"),
    a_time("ended_at", nullable=True),
    *(a_number(name) for name in ("messages", "records", "bytes")),
    *(a_time(name, nullable=True) for name in ("since", "until")),
    Column("held", BIG),  # the row of `files` that holds its messages until its window is read to the end
    Column("backfill", BIG),
    Column("cursor", Text),  # of a run whose messages are held: counts when they do
    Index("runs_of_job", "job", "id"),
    Index("runs_in_state", "state"),
    sqlite_autoincrement=True,
)

messages = Table(
    "messages",
    metadata,
    an_id(),
    a_text("job"),
    a_number("lane"),
    Column("key", Text, nullable=False, unique=True),
    a_number("run"),
    Column("file", BIG),
    *(a_number(name) for name in ("records", "size", "attempts")),
    a_time("spooled_at"),
    a_time("as_of", nullable=True),
    a_text("origin"),
    a_text("content_type"),
    Column("path", Text),
    a_text("headers"),
    a_text("form", ""),
    a_text("progress", ""),  # "" while it is whole
    Column("record_keys", LargeBinary),
    Column("subject", Text),
    Column("place", BIG),  # where it stood before it died and was sent again; NULL: at its id
    a_number("crc"),  # of all that is sent: SQLite has no checksums, and a flipped bit must not leave
    Column("body", LargeBinary, nullable=False),  # last, so that nobody reads through it
    Index("messages_of_lane", "job", "lane", "id"),
    # keys in the order of the messages: all that looking for one reads, and written side by side
    Index("messages_with_keys", "id", "record_keys", sqlite_where=text("record_keys IS NOT NULL")),
    Index("messages_of_subject", "job", "subject", "id", sqlite_where=text("subject IS NOT NULL")),
    sqlite_autoincrement=True,
)

layouts = Table("layouts", metadata, a_key("job"), a_number("generation"), a_text("name"), a_number("lanes"))

# Where a target said 413: the largest body (bytes before gzip) that is made, and what was refused.
fits = Table("fits", metadata, a_key("job"), a_number("size"), a_number("refused"), a_time("learned_at"))

receipts = Table(
    "receipts",
    metadata,
    an_id(),
    a_text("job"),
    a_number("lane"),
    a_text("key"),
    *(a_number(name) for name in ("run", "records", "size")),
    a_text("origin"),
    a_time("spooled_at"),
    a_time("delivered_at"),
    a_number("attempts"),
    a_text("method"),
    a_text("url"),
    Column("status", Integer),
    *(a_text(name) for name in ("answer", "answer_headers", "answer_body")),
    Column("message", BIG),  # that it was delivered whole by this, and may still have to leave the queue
    Index("receipts_of_key", "key"),
    sqlite_autoincrement=True,
)

receipt_keys = Table(
    "receipt_keys",
    metadata,
    Column("receipt", BIG, primary_key=True, nullable=False, autoincrement=False),
    Column("record_keys", LargeBinary, nullable=False),
)

key_pages = Table(
    "key_pages",
    metadata,
    an_id(),
    *(a_number(name) for name in ("part", "first", "last", "base", "newest")),
    Column("marks", LargeBinary, nullable=False),
    Column("receipts", LargeBinary, nullable=False),
    Index("key_pages_of_part", "part", "first"),
    sqlite_autoincrement=True,
)

dead = Table(
    "dead",
    metadata,
    an_id(),
    a_text("job"),
    a_number("lane"),
    a_text("key"),
    a_number("run"),
    Column("file", BIG),
    *(a_number(name) for name in ("records", "size")),
    a_text("origin"),
    a_time("spooled_at"),
    a_time("died_at"),
    a_number("attempts"),
    a_text("reason"),
    *(a_text(name) for name in ("method", "url", "content_type", "headers")),
    Column("status", Integer),
    *(a_text(name) for name in ("answer", "answer_headers", "answer_body")),
    Column("path", Text),  # path and headers of the draft, for a retry; both NULL: never was a message
    Column("draft_headers", Text),
    a_text("form", ""),
    Column("record_keys", LargeBinary),
    a_number("place"),  # where it stood in the queue: the order of letters among themselves
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
    Column("letter", BIG, primary_key=True, nullable=False, autoincrement=False),
    a_text("key"),
    *(a_number(name) for name in ("records", "size")),
    a_time("edited_at"),
    Column("body", LargeBinary, nullable=False),
)

files = Table(
    "files",
    metadata,
    an_id(),
    a_text("job"),
    a_text("path"),
    a_text("device"),  # text: 64 bits without a sign are more than a database's integer holds
    a_text("inode"),
    *(a_number(name) for name in ("size", "mtime_ns")),
    *(a_text(name) for name in ("sha256", "state", "reason")),
    a_number("run"),
    a_time("seen_at"),
    a_time("settled_at", nullable=True),
    Column("moved_to", Text),
    *(a_number(name) for name in ("waiting", "waiting_records", "waiting_bytes", "delivered", "dead")),
    Index("files_of_path", "job", "path"),
    Index("files_of_content", "job", "sha256"),
    Index("files_to_settle", "settled_at", "state"),
    sqlite_autoincrement=True,
)

cursors = Table("cursors", metadata, a_key("job"), a_text("value"), a_time("updated_at"))

waits = Table(
    "waits",
    metadata,
    a_key("job"),
    Column("lane", BIG, primary_key=True, nullable=False, autoincrement=False),
    a_text("kind"),
    a_text("reason"),
    a_time("since"),
    a_time("until", nullable=True),
    a_number("attempts"),
)

sessions = Table(
    "sessions",
    metadata,
    a_key("connection"),
    a_text("identity"),
    a_number("generation"),
    Column("sealed", LargeBinary),
    Column("refreshing", BIG),
    a_number("failures"),
    a_time("blocked_until", nullable=True),
    a_text("secret_mark"),
    a_number("logins"),
    a_number("refreshes"),
    a_text("last_error"),
    a_time("updated_at"),
    a_time("expires_at", nullable=True),
    a_text("spent", default=""),
)

dues = Table(
    "dues",
    metadata,
    a_key("job"),
    a_key("ident"),
    a_time("due", nullable=True),
    a_time("first_seen"),
)

windows = Table(
    "windows", metadata, a_key("job"), a_time("done"), a_time("wanted", nullable=True), a_time("updated_at")
)

backfills = Table(
    "backfills",
    metadata,
    an_id(),
    a_text("job"),
    *(a_time(name) for name in ("since", "until")),
    a_text("step"),
    a_time("done"),
    *(a_text(name) for name in ("state", "reason")),
    *(a_number(name) for name in ("windows", "records", "messages")),
    *(a_time(name) for name in ("started_at", "updated_at")),
    Index("backfills_of_job", "job", "id"),
    sqlite_autoincrement=True,
)

pauses = Table(
    "pauses",
    metadata,
    *(a_key(name) for name in ("kind", "name", "part")),
    a_text("reason"),
    a_time("since"),
    a_time("until", nullable=True),
)

configs = Table(
    "configs",
    metadata,
    a_key("path"),
    a_text("kind"),
    a_text("name"),
    Column("text", LargeBinary, nullable=False),
    a_text("sha256"),
    a_time("accepted_at"),
    a_number("deleted"),
)
