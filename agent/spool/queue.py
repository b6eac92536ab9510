"""The queue itself: what comes in, what stands at the head of a lane, what leaves.

A message whose file is in the state `reading` is held: it lies here, but no lane sees it.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, exists, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from agent.message import STRICT, Cursor, Draft, Layout, Message
from agent.parts import Progress
from agent.spool import counters, layouts
from agent.spool.database import Database, Row, Statement, insert_all
from agent.spool.filling import message_of
from agent.spool.look import headers_of
from agent.spool.memory import set_cursor
from agent.spool.tables import files, jobs, messages, runs

MESSAGE_COLUMNS = tuple(column.name for column in messages.columns)
INSERT_MESSAGE = insert_all(messages, without=("id",))
_CRC, _HEADERS = MESSAGE_COLUMNS.index("crc"), MESSAGE_COLUMNS.index("headers")


def visible() -> ColumnElement[bool]:
    """Not held: released in one step for any number of messages, because only its file's row changes."""
    reading = exists().where(files.c.id == messages.c.file, files.c.state == "reading")
    return or_(messages.c.file.is_(None), ~reading)


_RUN = Statement(select(runs.c.job, runs.c.held).where(runs.c.id == bindparam("run")))
_KEEP_CURSOR = Statement(
    update(runs).where(runs.c.id == bindparam("run")).values(cursor=bindparam("new_cursor"))
)
_FILE_STATE = Statement(select(files.c.state).where(files.c.id == bindparam("file")))
_RUN_SUMS = Statement(
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(
        messages=runs.c.messages + bindparam("add_messages"),
        records=runs.c.records + bindparam("add_records"),
        bytes=runs.c.bytes + bindparam("add_bytes"),
    )
)
_FILE_SUMS = Statement(
    update(files)
    .where(files.c.id == bindparam("file"))
    .values(
        waiting=files.c.waiting + bindparam("add_waiting"),
        waiting_records=files.c.waiting_records + bindparam("add_records"),
        waiting_bytes=files.c.waiting_bytes + bindparam("add_bytes"),
    )
)
_OLDEST = Statement(
    select(messages)
    .where(
        messages.c.job == bindparam("job"),
        messages.c.lane == bindparam("lane"),
        messages.c.id > bindparam("after"),
        visible(),
    )
    .order_by(messages.c.id)
    .limit(bindparam("limit"))
)
_JOBS_WAITING = Statement(select(jobs.c.job).where(jobs.c.waiting > 0).order_by(jobs.c.job))
_NEXT_LANE = Statement(
    select(messages.c.lane)
    .where(messages.c.job == bindparam("job"), messages.c.lane > bindparam("lane"))
    .order_by(messages.c.lane)
    .limit(1)
)
_VISIBLE = Statement(
    select(messages.c.id).where(
        messages.c.job == bindparam("job"), messages.c.lane == bindparam("lane"), visible()
    )
)
ANY_EARLIER = (
    select(messages.c.id)
    .where(messages.c.job == bindparam("job"), messages.c.lane < bindparam("lane"), visible())
    .limit(1)
)
_EARLIER = Statement(ANY_EARLIER.limit(None))
_OF_RUN = Statement(
    select(messages.c.id).where(messages.c.key == bindparam("key"), messages.c.run == bindparam("run"))
)
_ATTEMPT = Statement(
    update(messages).where(messages.c.id == bindparam("message")).values(attempts=messages.c.attempts + 1)
)
_REMOVE_OF_FILE = Statement(
    delete(messages).where(messages.c.job == bindparam("job"), messages.c.file == bindparam("file"))
)


def check_sum(draft: Draft, job: str, key: str, headers: str, lane: int) -> int:
    """CRC-32 of everything that a request is made of."""
    words = f"{job}\0{key}\0{lane}\0{draft.content_type}\0{draft.path}\0{headers}"
    words += f"\0{draft.form}" if draft.form else ""
    return zlib.crc32(draft.body, zlib.crc32(words.encode("utf-8", "replace")))


def dump_headers(headers: Mapping[str, str]) -> str:
    """Headers as JSON text."""
    return json.dumps(dict(headers)) if headers else "{}"


def append(  # noqa: PLR0917
    db: Database,
    run: int,
    drafts: Sequence[Draft],
    keys: Sequence[str],
    cursor: Cursor | None,
    file: int | None,
    now: float,
    layout: Layout = STRICT,
) -> None:
    """Messages, sums and cursor together. Raises LookupError for a run or file that is not there.

    A run that holds its messages until its window is done keeps its cursor as long.
    """
    job, holder = _of_run(db, run)
    file = file if holder is None else holder
    held = _is_held(db, file)
    base = layouts.base_for(db, job, layout) if drafts else 0
    rows = [_row(draft, job, key, run, file, now, base) for draft, key in zip(drafts, keys, strict=True)]
    db.many(INSERT_MESSAGE, rows)
    records = sum(draft.records for draft in drafts)
    size = sum(draft.size for draft in drafts)
    db.execute(_RUN_SUMS, run=run, add_messages=len(drafts), add_records=records, add_bytes=size)
    counters.appended(db, job, len(drafts), records, size, held=held)
    if file is not None:
        change_file(db, file, len(drafts), records, size)
    if cursor is not None:
        move_cursor(db, run, cursor, now)
    if drafts and not held:
        db.appended.append(job)


def has(db: Database, run: int, key: str) -> bool:
    """Whether this run appended a message with this key, which still waits."""
    return db.execute(_OF_RUN, run=run, key=key).fetchone() is not None


def move_cursor(db: Database, run: int, cursor: Cursor, now: float) -> None:
    """The job's cursor; of a run that holds its messages it counts when they do. Raises LookupError."""
    job, holder = _of_run(db, run)
    if holder is None:
        set_cursor(db, job, cursor, now)
    else:
        db.execute(_KEEP_CURSOR, run=run, new_cursor=json.dumps(dict(cursor)))


def _of_run(db: Database, run: int) -> tuple[str, int | None]:
    """The job of a run, and the row of `files` that holds its messages. Raises LookupError."""
    row = db.execute(_RUN, run=run).fetchone()
    if row is None:
        raise LookupError(f"there is no run {run}")
    return str(row[0]), row[1]


def _is_held(db: Database, file: int | None) -> bool:
    if file is None:
        return False
    row = db.execute(_FILE_STATE, file=file).fetchone()
    if row is None or row[0] not in {"reading", "streaming"}:
        raise LookupError(f"file {file} is not open: {row[0] if row else 'it is not known'}")
    return bool(row[0] == "reading")


def _row(  # noqa: PLR0917
    draft: Draft, job: str, key: str, run: int, file: int | None, now: float, base: int
) -> Row:
    headers, lane = dump_headers(draft.headers), base + draft.lane
    crc = check_sum(draft, job, key, headers, lane)
    return (
        *(job, lane, key, run, file, draft.records, draft.size, 0, now, draft.as_of, draft.origin),
        *(draft.content_type, draft.path, headers, draft.form, "", draft.record_keys or None),
        *(draft.subject, None, crc, draft.body),
    )


def change_file(db: Database, file: int, waiting: int, records: int, size: int) -> None:
    """So many messages of the file more (or fewer) lie in the queue."""
    db.execute(_FILE_SUMS, file=file, add_waiting=waiting, add_records=records, add_bytes=size)


def is_open(db: Database, job: str, first: int) -> bool:
    """Whether all of the job's layouts before the one with this lane 0 are empty."""
    return not first or db.owed.has_all(db.execute(_EARLIER, job=job, lane=first))


def oldest(  # noqa: PLR0917
    db: Database, job: str, lane: int, after: int, limit: int, max_bytes: int
) -> tuple[list[Message], list[int]]:
    """The head of a lane, at least one message when there is any; and ids whose bytes were damaged.

    As long as something lies in an earlier layout, there is nothing in the lanes of this one. What was
    delivered already and is owed does not count (see `owed`).
    """
    damaged: list[int] = []
    if not is_open(db, job, layouts.first_lane(lane)):
        return [], []
    while True:  # a head that is damaged throughout must not look like an empty lane
        found, more = _read_tolerantly(db, job, lane, after, limit, max_bytes)
        damaged += more
        if found or not more:
            return found, damaged
        after = more[-1]


def _read_tolerantly(  # noqa: PLR0917
    db: Database, job: str, lane: int, after: int, limit: int, max_bytes: int
) -> tuple[list[Message], list[int]]:
    try:
        return _read_head(db, job, lane, after, limit, max_bytes)
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        db.tolerate()
        return _read_head(db, job, lane, after, limit, max_bytes)


def _read_head(  # noqa: PLR0917
    db: Database, job: str, lane: int, after: int, limit: int, max_bytes: int
) -> tuple[list[Message], list[int]]:
    found: list[Message] = []
    damaged: list[int] = []
    weight = 0
    for row in db.execute(_OLDEST, job=job, lane=lane, after=after, limit=limit + len(db.owed)):
        if row[0] in db.owed:
            continue
        if len(found) + len(damaged) == limit:
            break
        message = read_message(row)
        if message is None:
            damaged.append(row[0])
            continue
        weight += len(message.body)
        if found and weight > max_bytes:
            break
        found.append(message)
    return found, damaged


def read_message(row: Row) -> Message | None:
    """A row of `messages` as a value; None when its bytes are not those that were appended."""
    text = row[_HEADERS]
    message = message_of(row, {} if text == "{}" else headers_of(text))
    try:
        good = check_sum(message, message.job, message.key, str(text), message.lane) == row[_CRC]
        if message.progress:
            Progress.read(message.progress)
    except (TypeError, ValueError):
        return None
    return message if good else None


def lanes(db: Database, only: str | None = None) -> list[tuple[str, int]]:
    """(job, lane) of every lane with something to send: one seek per lane, whatever waits in them.

    Of a job's layouts only the earliest one that has something to send. What is owed is nothing to send, also
    where it cannot be paid now: a lane would be opened for it again and again.
    """
    waiting = [only] if only is not None else [str(row[0]) for row in db.execute(_JOBS_WAITING)]
    return [(job, lane) for job in waiting for lane in _open_lanes(db, job)]


def _open_lanes(db: Database, job: str) -> list[int]:
    found: list[int] = []
    for lane in lanes_of(db, job):
        if found and layouts.first_lane(lane) != layouts.first_lane(found[0]):
            break
        if not db.owed.has_all(db.execute(_VISIBLE, job=job, lane=lane)):
            found.append(lane)
    return found


def lanes_of(db: Database, job: str) -> list[int]:
    """All lanes of a job with messages, held ones too, the earliest layout first."""
    found: list[int] = []
    lane = -(2**62)
    while row := db.execute(_NEXT_LANE, job=job, lane=lane).fetchone():
        lane = row[0]
        found.append(lane)
    return found


def note_attempt(db: Database, message: int) -> None:
    """One more attempt failed."""
    db.execute(_ATTEMPT, message=message)


def remove_of_file(db: Database, job: str, file: int) -> None:
    """Held messages of a file that is given up: no lane ever saw them."""
    db.execute(_REMOVE_OF_FILE, job=job, file=file)
