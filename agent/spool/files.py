"""Source files: which were met, which are held while they are read, which are ready to be moved.

open ──▶ reading ───release──▶ spooled ──▶ (its messages leave) ──finish──▶ done or failed
     └─▶ streaming ──release──▶ spooled      note ──▶ failed ──finish──▶ failed
                                             note ──▶ duplicate ──finish──▶ duplicate
         reading ──abandon──▶ failed: its held messages go, which no lane ever saw
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import bindparam, delete, or_, select, update

from agent.message import Cursor, DeadLetter
from agent.spool import counters
from agent.spool.database import Database, Statement, Value, insert_all, rows_of
from agent.spool.memory import set_cursor
from agent.spool.queue import remove_of_file
from agent.spool.rows import file_of, letter_of
from agent.spool.tables import dead, files
from agent.spool.values import FileRow, SettledFile
from agent.stamp import FileStamp

# Rows of one path or content that tell what was done with it last: a file that is read again at every
# run has a new row each time.
_LATEST = 50
_INSERT = insert_all(files, without=("id",))
_ZEROS = dict.fromkeys(("waiting", "waiting_records", "waiting_bytes", "delivered", "dead"), 0)
_ROW = Statement(select(files).where(files.c.id == bindparam("file")))
_BY_STAMP = Statement(
    select(files)
    .where(
        files.c.job == bindparam("job"),
        files.c.path == bindparam("path"),
        files.c.device == bindparam("device"),
        files.c.inode == bindparam("inode"),
        files.c.size == bindparam("size"),
        files.c.mtime_ns == bindparam("mtime_ns"),
    )
    .order_by(files.c.id.desc())
    .limit(1)
)
# Without duplicates: nothing was read of them, and any number of them may lie before the row that counts.
_BY_CONTENT = Statement(
    select(files)
    .where(
        files.c.job == bindparam("job"), files.c.sha256 == bindparam("sha256"), files.c.state != "duplicate"
    )
    .order_by(files.c.id.desc())
    .limit(_LATEST)
)
_READ_BY_PATH = Statement(
    select(files)
    .where(files.c.job == bindparam("job"), files.c.path == bindparam("path"), files.c.state != "duplicate")
    .order_by(files.c.id.desc())
    .limit(_LATEST)
)
_BY_PATH = Statement(
    select(files)
    .where(files.c.job == bindparam("job"), files.c.path == bindparam("path"))
    .order_by(files.c.id.desc())
    .limit(_LATEST)
)
_OPEN = Statement(
    select(files)
    .where(
        files.c.settled_at.is_(None),
        or_(files.c.state == "reading", files.c.state == "streaming"),
        files.c.job == bindparam("job"),
    )
    .order_by(files.c.id)
)
_REOPEN = Statement(
    update(files)
    .where(files.c.id == bindparam("file"))
    .values(
        run=bindparam("new_run"),
        path=bindparam("new_path"),
        device=bindparam("new_device"),
        inode=bindparam("new_inode"),
        size=bindparam("new_size"),
        mtime_ns=bindparam("new_mtime_ns"),
    )
)
_STATE = Statement(
    update(files)
    .where(files.c.id == bindparam("file"))
    .values(state=bindparam("new_state"), reason=bindparam("why"))
)
_EMPTIED = Statement(
    update(files).where(files.c.id == bindparam("file")).values(waiting=0, waiting_records=0, waiting_bytes=0)
)
_SETTLED = Statement(
    select(files)
    .where(
        files.c.settled_at.is_(None),
        or_(*(files.c.state == state for state in ("spooled", "duplicate", "failed"))),
        files.c.waiting == 0,
    )
    .order_by(files.c.id)
)
_LETTERS = Statement(
    select(dead).where(dead.c.file == bindparam("file")).order_by(dead.c.id).limit(bindparam("limit"))
)
_FORGET = Statement(
    delete(files).where(
        files.c.id == bindparam("file"),
        files.c.waiting == 0,
        files.c.state != "reading",
        files.c.state != "streaming",
    )
)
_FINISH = Statement(
    update(files)
    .where(files.c.id == bindparam("file"))
    .values(
        state=bindparam("new_state"),
        reason=bindparam("why"),
        moved_to=bindparam("new_place"),
        settled_at=bindparam("now"),
    )
)
# What the newest of them says, the earlier ones said too: a file that is read at every run would add a row
# each time, for ever. By the index of contents, so that it costs the same among a million files.
_FORGET_EARLIER = Statement(
    delete(files).where(
        files.c.job == bindparam("of_job"),
        files.c.sha256 == bindparam("content"),
        files.c.path == bindparam("of_path"),
        files.c.state == bindparam("same_state"),
        files.c.id < bindparam("file"),
        files.c.settled_at.is_not(None),
    )
)


def _stamp(stamp: FileStamp, prefix: str = "") -> dict[str, Value]:
    return {
        f"{prefix}path": stamp.path,
        f"{prefix}device": str(stamp.device),
        f"{prefix}inode": str(stamp.inode),
        f"{prefix}size": stamp.size,
        f"{prefix}mtime_ns": stamp.mtime_ns,
    }


def by_stamp(db: Database, job: str, stamp: FileStamp) -> FileRow | None:
    """The newest row with exactly this stamp."""
    row = next(rows_of(db, _BY_STAMP, job=job, **_stamp(stamp)), None)
    return None if row is None else file_of(row)


def by_content(db: Database, job: str, sha256: str) -> list[FileRow]:
    """Rows with this content that are no duplicates, newest first."""
    return [file_of(row) for row in rows_of(db, _BY_CONTENT, job=job, sha256=sha256)]


def by_path(db: Database, job: str, path: str, *, duplicates: bool) -> list[FileRow]:
    """Rows of this path, newest first; with or without duplicates."""
    statement = _BY_PATH if duplicates else _READ_BY_PATH
    return [file_of(row) for row in rows_of(db, statement, job=job, path=path)]


def open_rows(db: Database, job: str) -> list[FileRow]:
    """Rows that are being read, oldest first."""
    return [file_of(row) for row in rows_of(db, _OPEN, job=job)]


def open_file(
    db: Database, job: str, run: int, stamp: FileStamp, sha256: str, *, hold: bool, now: float
) -> int:
    """A new row; or the one that a crash left open with the same content, its own path first."""
    left_open = [row for row in by_content(db, job, sha256) if row.state in {"reading", "streaming"}]
    if left_open:
        row = min(left_open, key=lambda row: (row.path != stamp.path, -row.id))
        db.execute(_REOPEN, file=row.id, new_run=run, **_stamp(stamp, "new_"))
        return row.id
    return _insert(db, job, run, stamp, sha256, "reading" if hold else "streaming", "", now)


def note(  # noqa: PLR0917
    db: Database, job: str, run: int, stamp: FileStamp, sha256: str, state: str, reason: str, now: float
) -> int:
    """A file from which nothing is sent."""
    return _insert(db, job, run, stamp, sha256, state, reason, now)


def _insert(  # noqa: PLR0917
    db: Database, job: str, run: int, stamp: FileStamp, sha256: str, state: str, reason: str, now: float
) -> int:
    values: dict[str, Value] = {"job": job, "run": run, "sha256": sha256, "state": state, "reason": reason}
    values |= {"seen_at": now, "settled_at": None, "moved_to": None}
    return db.execute(_INSERT, **values, **_stamp(stamp), **_ZEROS).lastrowid or 0


def _row(db: Database, file: int) -> dict[str, Value]:
    row = next(rows_of(db, _ROW, file=file), None)
    if row is None:
        raise LookupError(f"there is no file {file}")
    return row


def _waiting(row: dict[str, Value]) -> tuple[int, int, int]:
    messages, records, size = row["waiting"], row["waiting_records"], row["waiting_bytes"]
    assert isinstance(messages, int)
    assert isinstance(records, int)
    assert isinstance(size, int)
    return messages, records, size


def release(db: Database, file: int, cursor: Cursor | None = None, now: float = 0.0) -> None:
    """All of it is in the spool. Twice is fine. Raises LookupError for a file that was given up."""
    row = _row(db, file)
    if cursor is not None:
        set_cursor(db, str(row["job"]), cursor, now)
    if row["state"] == "spooled":
        return
    if row["state"] not in {"reading", "streaming"}:
        raise LookupError(f"file {file} is not open: {row['state']!s}")
    db.execute(_STATE, file=file, new_state="spooled", why="")
    if row["state"] == "reading":
        job = str(row["job"])
        counters.released(db, job, *_waiting(row))
        db.appended.append(job)


def forget(db: Database, file: int) -> None:
    """A page that was dealt with: there is no file that could be met again. One that is open stays."""
    db.execute(_FORGET, file=file)


def abandon(db: Database, file: int, reason: str, cursor: Cursor | None = None, now: float = 0.0) -> None:
    """Send nothing of it; what streamed already stays in the queue. Twice is fine."""
    row = _row(db, file)
    if cursor is not None:
        set_cursor(db, str(row["job"]), cursor, now)
    if row["state"] not in {"reading", "streaming"}:
        return
    db.execute(_STATE, file=file, new_state="failed", why=reason)
    if row["state"] == "reading":
        job = str(row["job"])
        messages, records, size = _waiting(row)
        remove_of_file(db, job, file)
        counters.appended(db, job, -messages, -records, -size, held=True)
        db.execute(_EMPTIED, file=file)


def settled(db: Database) -> list[SettledFile]:
    """Files that are ready to be moved, oldest first."""
    return [
        SettledFile(file=file_of(row), delivered=int(row["delivered"] or 0), dead=int(row["dead"] or 0))
        for row in rows_of(db, _SETTLED)
    ]


def letters(db: Database, file: int, limit: int) -> list[DeadLetter]:
    """The first dead letters of a file."""
    return [letter_of(row) for row in rows_of(db, _LETTERS, file=file, limit=limit)]


def finish(  # noqa: PLR0917
    db: Database, file: int, state: Literal["done", "failed"], moved_to: str | None, reason: str, now: float
) -> None:
    """The file is dealt with for good. Without a new reason the old one stays.

    A duplicate stays one: nothing of it was sent, and it must not stand for content that was.
    """
    row = _row(db, file)
    ends = row["state"] if row["state"] == "duplicate" else state
    db.execute(_FINISH, file=file, new_state=ends, why=reason or row["reason"], new_place=moved_to, now=now)
    if ends != "failed":  # each refusal has its own dead letters
        db.execute(
            _FORGET_EARLIER,
            file=file,
            of_job=row["job"],
            content=row["sha256"],
            of_path=row["path"],
            same_state=ends,
        )
