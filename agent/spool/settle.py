"""How a message leaves: as a receipt, as a dead letter, or as several of both; never otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import bindparam, delete, select, update

from agent.logs import get_log
from agent.message import EXPIRED, Answer, DeadLetter, Draft, Message, Receipt
from agent.spool import counters, layouts
from agent.spool.database import Database, Row, Statement, insert_all, rows_of
from agent.spool.queue import (
    INSERT_MESSAGE,
    change_file,
    check_sum,
    dump_headers,
    read_message,
)
from agent.spool.rows import load_headers
from agent.spool.tables import dead, files, messages, receipts

log = get_log("spool")

_TAKE = Statement(
    delete(messages).where(messages.c.id == bindparam("message"), messages.c.key == bindparam("key"))
)
_BY_ID = Statement(select(messages).where(messages.c.id == bindparam("message")))
_INSERT_RECEIPT = insert_all(receipts, without=("id",))
_INSERT_DEAD = insert_all(dead, without=("id",))
_FILE_SETTLED = Statement(
    update(files)
    .where(files.c.id == bindparam("file"))
    .values(
        waiting=files.c.waiting - 1,
        waiting_records=files.c.waiting_records - bindparam("records_less"),
        waiting_bytes=files.c.waiting_bytes - bindparam("bytes_less"),
        delivered=files.c.delivered + bindparam("add_delivered"),
        dead=files.c.dead + bindparam("add_dead"),
    )
)
_FILE_DEAD = Statement(
    update(files).where(files.c.id == bindparam("file")).values(dead=files.c.dead + bindparam("add_dead"))
)
_DEAD_ROW = Statement(select(dead).where(dead.c.id == bindparam("letter")))
_DROP_DEAD = Statement(delete(dead).where(dead.c.id == bindparam("letter")))


def settle(db: Database, message: Message, got: Sequence[Receipt], letters: Sequence[DeadLetter]) -> None:
    """The message becomes these, in one step. One that is gone already was settled before: no trace."""
    if not db.execute(_TAKE, message=message.id, key=message.key).rowcount:
        log.debug("already settled", job=message.job, key=message.key)
        return
    receipt = 0
    for each in got:
        receipt = _keep_receipt(db, each)
    for letter in letters:
        _keep_letter(db, letter, message)
    delivered = 1 if got else 0
    counters.settled(
        db,
        message.job,
        records=message.records,
        size=message.size,
        delivered=delivered,
        good=sum(each.records for each in got),
        dead=len(letters),
        expired=sum(letter.reason == EXPIRED for letter in letters),
    )
    if receipt:
        counters.last_receipt(db, message.job, receipt)
    if message.file is not None:
        db.execute(
            _FILE_SETTLED,
            file=message.file,
            records_less=message.records,
            bytes_less=message.size,
            add_delivered=delivered,
            add_dead=len(letters),
        )


def _keep_receipt(db: Database, receipt: Receipt) -> int:
    answer = receipt.answer
    row: Row = (
        *(receipt.job, receipt.lane, receipt.key, receipt.run, receipt.records, receipt.size),
        *(receipt.origin, receipt.spooled_at, receipt.delivered_at, receipt.attempts, receipt.method),
        *(receipt.url, answer.status, answer.reason, dump_headers(answer.headers), answer.body),
    )
    return db.raw.execute(_INSERT_RECEIPT.text, row).lastrowid or 0


def _keep_letter(db: Database, letter: DeadLetter, draft: Draft | None) -> int:
    answer = letter.answer
    row: Row = (
        *(letter.job, letter.lane, letter.key, letter.run, letter.file, letter.records, letter.size),
        *(letter.origin, letter.spooled_at, letter.died_at, letter.attempts, letter.reason),
        *(letter.method, letter.url, letter.content_type, dump_headers(letter.headers)),
        *(answer.status, answer.reason, dump_headers(answer.headers), answer.body),
        *((draft.path, dump_headers(draft.headers)) if draft else (None, None)),
        letter.body,
    )
    return db.raw.execute(_INSERT_DEAD.text, row).lastrowid or 0


def add_dead(db: Database, letter: DeadLetter) -> int:
    """A record that never became a message. Returns the letter's id."""
    made = _keep_letter(db, letter, None)
    counters.dead_letters(db, letter.job, 1)
    if letter.file is not None:
        db.execute(_FILE_DEAD, file=letter.file, add_dead=1)
    return made


def bury_damaged(db: Database, ids: Sequence[int], now: float) -> None:
    """Messages whose bytes changed on the disk are not sent and not lost: they become dead letters."""
    for each in ids:
        row = db.execute(_BY_ID, message=each).fetchone()
        if row is None or read_message(row) is not None:
            continue
        values = dict(zip((column.name for column in messages.columns), row, strict=True))
        values = {**values, "headers": load_headers(values["headers"])}
        message = Message(**{f.name: values[f.name] for f in fields(Message) if f.name in values})
        settle(db, message, (), (_letter_for_damage(message, now),))
        log.error("a message was damaged on the disk", job=message.job, key=message.key)


def _letter_for_damage(message: Message, now: float) -> DeadLetter:
    names = ("job", "lane", "key", "run", "file", "records", "size", "origin", "spooled_at", "attempts")
    return DeadLetter(
        **{name: getattr(message, name) for name in (*names, "content_type", "headers", "body")},
        died_at=now,
        reason="damaged",
        method="",
        url="",
        answer=Answer(status=None, reason="its bytes were damaged on the disk; it was not sent"),
    )


def revive(db: Database, letter: int, now: float) -> str:
    """Back into its lane, at the end, with the same key; its age counts from now on. Returns the job.

    Raises LookupError when there is no such letter, or when it never was a message.
    """
    row = next(rows_of(db, _DEAD_ROW, letter=letter), None)
    if row is None:
        raise LookupError(f"there is no dead letter {letter}")
    if row["draft_headers"] is None or row["reason"] == "damaged":
        raise LookupError(f"dead letter {letter} cannot be sent: its reason is “{row['reason']!s}”")
    names = ("body", "size", "records", "content_type", "path", "lane", "origin")
    headers = str(row["draft_headers"])
    draft = Draft(**{name: row[name] for name in names}, headers=load_headers(headers))  # type: ignore[arg-type]
    job, key = str(row["job"]), str(row["key"])
    lane = layouts.lane_now(db, job, draft.lane)
    new = {**row, "lane": lane, "attempts": 0, "as_of": now, "headers": headers}
    new["crc"] = check_sum(draft, job, key, headers, lane)
    db.execute(INSERT_MESSAGE, **new)
    drop(db, letter)
    counters.appended(db, job, 1, draft.records, draft.size, held=False)
    if isinstance(row["file"], int):
        change_file(db, row["file"], 1, draft.records, draft.size)
    db.appended.append(job)
    return job


def drop(db: Database, letter: int) -> None:
    """Forget a dead letter. Raises LookupError when there is no such letter."""
    row = next(rows_of(db, _DEAD_ROW, letter=letter), None)
    if row is None:
        raise LookupError(f"there is no dead letter {letter}")
    db.execute(_DROP_DEAD, letter=letter)
    counters.dead_letters(db, str(row["job"]), -1)
