"""How a message leaves: as a receipt, as a dead letter, or as several of both; never otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import bindparam, delete, select, update

from agent.logs import get_log
from agent.message import DAMAGED, EXPIRED, Answer, DeadLetter, Message, Receipt
from agent.receipt_keys import keys_left
from agent.spool import counters, key_index
from agent.spool.database import Database, Row, Statement, insert_all
from agent.spool.look import headers_of
from agent.spool.owed import Debt
from agent.spool.queue import dump_headers, read_message
from agent.spool.tables import dead, files, messages, receipts
from agent.spool.values import Left

log = get_log("spool")

_TAKE = Statement(
    delete(messages).where(messages.c.id == bindparam("message"), messages.c.key == bindparam("key"))
)
_THERE = Statement(
    select(messages.c.id).where(messages.c.id == bindparam("message"), messages.c.key == bindparam("key"))
)
_BY_ID = Statement(select(messages).where(messages.c.id == bindparam("message")))
_INSERT_RECEIPT = insert_all(receipts)
_INSERT_DEAD = insert_all(dead, without=("id",))
_FILE_DEAD = Statement(
    update(files).where(files.c.id == bindparam("file")).values(dead=files.c.dead + bindparam("add_dead"))
)
_STEP = Statement(
    update(messages)
    .where(
        messages.c.id == bindparam("message"),
        messages.c.key == bindparam("of_key"),
        messages.c.progress == bindparam("before"),
    )
    .values(
        progress=bindparam("after"),
        records=bindparam("left_records"),
        size=bindparam("left_size"),
        attempts=bindparam("failed"),
    )
)


def ack(db: Database, message: Message, receipt: Receipt) -> None:
    """The message was delivered. One that is gone already was settled before: no trace.

    That it leaves the queue is owed (see `owed`).
    """
    if message.id in db.owed or not db.raw.execute(_THERE.text, (message.id, message.key)).fetchone():
        log.debug("already settled", job=message.job, key=message.key)
        return
    made = _keep_receipt(db, receipt, message.id)
    sums = (message.records, message.size, receipt.records, made, len(message.body))
    db.owed.add(message.id, Debt(message.job, message.file, *sums))


def settle(db: Database, message: Message, got: Sequence[Receipt], letters: Sequence[DeadLetter]) -> None:
    """The message becomes these, in one step. One that is gone already was settled before: no trace."""
    if not db.execute(_TAKE, message=message.id, key=message.key).rowcount:
        log.debug("already settled", job=message.job, key=message.key)
        return
    _become(db, message, got, letters, records=message.records, size=message.size, gone=1)


def part(
    db: Database,
    message: Message,
    left: Left,
    got: Sequence[Receipt],
    letters: Sequence[DeadLetter],
) -> None:
    """Some records of a message become these; the others stay, in one step. Done before: no trace."""
    if not _shrink(db, message, left):
        log.debug("this part is settled already", job=message.job, key=message.key)
        return
    records, size = message.records - left.records, message.size - left.size
    _become(db, message, got, letters, records=records, size=size, gone=0)


def _shrink(db: Database, message: Message, left: Left) -> bool:
    return bool(
        db.execute(
            _STEP,
            message=message.id,
            of_key=message.key,
            before=message.progress,
            after=left.progress,
            left_records=left.records,
            left_size=left.size,
            failed=left.attempts,
        ).rowcount
    )


def _become(
    db: Database,
    message: Message,
    got: Sequence[Receipt],
    letters: Sequence[DeadLetter],
    *,
    records: int,
    size: int,
    gone: int,
) -> None:
    receipt = 0
    for each in got:
        receipt = _keep_receipt(db, each)
    for letter in letters:
        _keep_letter(db, letter, message)
    delivered = 1 if got else 0
    counters.settled(
        db,
        message.job,
        records=records,
        size=size,
        delivered=delivered,
        good=sum(each.records for each in got),
        dead=len(letters),
        expired=sum(letter.reason == EXPIRED for letter in letters),
        gone=gone,
        receipt=receipt or None,
    )
    if message.file is not None:
        counters.left_file(
            db, message.file, records=records, size=size, gone=gone, delivered=delivered, dead=len(letters)
        )


def leave(db: Database, message: Message, receipt: Receipt) -> None:
    """The message leaves unsent: a newer one takes its place. One that is gone already: no trace."""
    if not db.execute(_TAKE, message=message.id, key=message.key).rowcount:
        return
    _keep_receipt(db, receipt)
    counters.superseded(db, message.job, records=message.records, size=message.size)
    if message.file is not None:
        counters.left_file(db, message.file, records=message.records, size=message.size, gone=1, delivered=0)


def _keep_receipt(db: Database, receipt: Receipt, message: int | None = None) -> int:
    """`message`: the id of the one that still has to leave the queue."""
    answer = receipt.answer
    made = db.next_id(receipts.name)
    row: Row = (
        *(made, receipt.job, receipt.lane, receipt.key, receipt.run, receipt.records, receipt.size),
        *(receipt.origin, receipt.spooled_at, receipt.delivered_at, receipt.attempts, receipt.method),
        *(receipt.url, answer.status, answer.reason, dump_headers(answer.headers), answer.body, message),
    )
    db.run(_INSERT_RECEIPT, row)
    if receipt.record_keys:
        key_index.keep(db, made, receipt.record_keys)
    return made


def _keep_letter(db: Database, letter: DeadLetter, message: Message | None) -> int:
    """Where its message stands, and once stood, is its place among the letters."""
    answer = letter.answer
    row: Row = (
        *(letter.job, letter.lane, letter.key, letter.run, letter.file, letter.records, letter.size),
        *(letter.origin, letter.spooled_at, letter.died_at, letter.attempts, letter.reason),
        *(letter.method, letter.url, letter.content_type, dump_headers(letter.headers)),
        *(answer.status, answer.reason, dump_headers(answer.headers), answer.body),
        *((message.path, dump_headers(message.headers)) if message else (None, None)),
        *(message.form if message else "", letter.record_keys or None),
        *((message.place or message.id) if message else 0, letter.body),
    )
    return db.run(_INSERT_DEAD, row).lastrowid or 0


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
        values = {
            **values,
            "headers": headers_of(values["headers"]),
            "record_keys": keys_left(values["record_keys"] or b"", str(values["progress"])),
        }
        message = Message(**{f.name: values[f.name] for f in fields(Message) if f.name in values})
        settle(db, message, (), (_letter_for_damage(message, now),))
        log.error("a message was damaged on the disk", job=message.job, key=message.key)


def _letter_for_damage(message: Message, now: float) -> DeadLetter:
    names = ("job", "lane", "key", "run", "file", "records", "size", "origin", "spooled_at", "attempts")
    return DeadLetter(
        **{
            name: getattr(message, name)
            for name in (*names, "content_type", "headers", "record_keys", "body")
        },
        died_at=now,
        reason=DAMAGED,
        method="",
        url="",
        answer=Answer(status=None, reason="its bytes were damaged on the disk; it was not sent"),
    )
