"""What a person may do with a dead letter: send it again, forget it, change its body, change it back.

    DeadLetter ──revive──▶ Message, at the end of its lane, with its key and its old place among letters
        │ edit: another body, and another key (KEY.e1); what it was is kept in `edits`
        │ undo: as it died
        └──drop──▶ nothing

Each letter in one transaction: it is a letter or a message, never both and never neither.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, Table, and_, bindparam, case, delete, func, or_, select, union_all, update

from agent.message import DAMAGED, Draft
from agent.parts import Form
from agent.spool import counters, layouts
from agent.spool.database import Database, Statement, Value, insert_all, rows_of
from agent.spool.letters import before
from agent.spool.look import headers_of
from agent.spool.queue import INSERT_MESSAGE, change_file, check_sum
from agent.spool.rows import RowDict
from agent.spool.tables import dead, edits, files, messages, receipts

_ROW = Statement(select(dead).where(dead.c.id == bindparam("letter")))
_DROP = Statement(delete(dead).where(dead.c.id == bindparam("letter")))
_FORGET_EDIT = Statement(delete(edits).where(edits.c.letter == bindparam("letter")))
_INSERT_EDIT = insert_all(edits)
_EDITED_AGAIN = Statement(
    update(edits).where(edits.c.letter == bindparam("of_letter")).values(edited_at=bindparam("now"))
)
_CHANGE = Statement(
    update(dead)
    .where(dead.c.id == bindparam("of_letter"))
    .values(
        key=bindparam("new_key"),
        records=bindparam("new_records"),
        size=bindparam("new_size"),
        body=bindparam("new_body"),
    )
)
_WAITS = Statement(select(messages.c.id).where(messages.c.key == bindparam("key")))
# A file that is not moved yet ends in failed/ for what is refused when it ends, not for what was.
_FILE_REVIVED = Statement(
    update(files)
    .where(files.c.id == bindparam("file"), files.c.settled_at.is_(None))
    .values(dead=case((files.c.dead > 0, files.c.dead - 1), else_=func.coalesce(files.c.dead, 0)))
)


def _known(table: Table) -> Select[tuple[str]]:
    """Also by one of its parts: KEY.1-2 lies between `KEY.` and `KEY/`."""
    key = table.c.key
    parts = and_(key >= bindparam("part"), key < bindparam("behind"))
    return select(key).where(or_(key == bindparam("key"), parts))


_KNOWN = Statement(union_all(*map(_known, (messages, receipts, dead))))
_EDIT_MARK = re.compile(r"(.*)\.e([1-9][0-9]{0,8})", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Revived:
    """What came of some letters."""

    jobs: Mapping[str, int]
    """Job → letters that are messages again."""
    refused: Sequence[tuple[int, str]] = ()
    """Letters that stay letters, and why."""


def revive(db: Database, letter: int, now: float) -> str:
    """Back into its lane, at the end, with the same key; its age counts from now on. Returns the job.

    Raises LookupError when there is no such letter, when it never was a message, or when a message with its
    key waits already (the same content was read again).
    """
    row = _row(db, letter)
    if row["draft_headers"] is None or row["reason"] == DAMAGED:
        raise LookupError(f"dead letter {letter} cannot be sent: its reason is “{row['reason']!s}”")
    job, key = str(row["job"]), str(row["key"])
    if db.execute(_WAITS, key=key).fetchone() is not None:
        raise LookupError(f"dead letter {letter} waits to be sent already: its content was read again")
    names = ("body", "size", "records", "content_type", "path", "lane", "origin")
    headers, form = str(row["draft_headers"]), str(row["form"])
    if (first := before(db, letter)) is not None:
        form = _form_of(form, first.body, row["body"])
    draft = Draft(**{name: row[name] for name in names}, headers=headers_of(headers), form=form)  # type: ignore[arg-type]
    lane = layouts.lane_now(db, job, draft.lane)
    new = {**row, "lane": lane, "attempts": 0, "as_of": now, "headers": headers, "form": form, "progress": ""}
    new["subject"] = None  # it is old, whatever its place in the lane says
    new["crc"] = check_sum(draft, job, key, headers, lane)
    drop(db, letter)  # first: a full spool has room for what leaves it
    db.execute(INSERT_MESSAGE, **new)
    counters.appended(db, job, 1, draft.records, draft.size, held=False)
    if isinstance(row["file"], int):
        change_file(db, row["file"], 1, draft.records, draft.size)
        db.execute(_FILE_REVIVED, file=row["file"])
    db.appended.append(job)
    return job


def _form_of(text: str, before_: Value, now: Value) -> str:
    """How the records stand in an edited body: as its form says, if it begins and ends as before.

    Else nobody knows where they are (""), and what is cut at a wrong place would be sent as if it were one of
    them: such a body is sent whole, or not at all. Line breaks at its end, which editors add, do no harm.
    """
    form = Form.read(text)
    if form is None:
        return ""
    try:
        old, new = gzip.decompress(bytes(before_)), gzip.decompress(bytes(now))  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error):
        return ""
    breaks = b"\r\n"
    end, content = old[len(old) - form.tail :].rstrip(breaks), new.rstrip(breaks)
    tail = len(end) + len(new) - len(content)
    same = old[: form.head] == new[: form.head] and content.endswith(end) and form.head + tail <= len(new)
    return str(replace(form, tail=tail)) if same else ""


def revive_all(db: Database, letters: Sequence[int], now: float) -> Revived:
    """One after the other, in this order; what cannot be sent stays a letter, and the others go."""
    jobs: Counter[str] = Counter()
    refused = []
    for letter in letters:
        try:
            jobs[revive(db, letter, now)] += 1
        except LookupError as error:
            refused.append((letter, str(error)))
    return Revived(jobs=dict(jobs), refused=tuple(refused))


def drop(db: Database, letter: int) -> None:
    """Forget a dead letter. Raises LookupError when there is no such letter."""
    row = _row(db, letter)
    db.execute(_FORGET_EDIT, letter=letter)
    db.execute(_DROP, letter=letter)
    counters.dead_letters(db, str(row["job"]), -1)


def drop_all(db: Database, letters: Sequence[int]) -> Mapping[str, int]:
    """Forget them; how many of each job. One that is gone already is passed over."""
    jobs: Counter[str] = Counter()
    for letter in letters:
        row = next(rows_of(db, _JOB, letter=letter), None)
        if row is not None:
            db.execute(_FORGET_EDIT, letter=letter)
            db.execute(_DROP, letter=letter)
            jobs[str(row["job"])] += 1
    for job, count in jobs.items():
        counters.dead_letters(db, job, -count)
    return dict(jobs)


def edit(  # noqa: PLR0917
    db: Database, letter: int, body: bytes, size: int, records: int, was: str, now: float
) -> str:
    """Another body for a letter; its new key. What it was is kept until it is sent or dropped.

    `was`: the SHA-256 of the body that was edited, as it lies here. Raises LookupError when there is no such
    letter, when it never was a message, and when it has another body by now.
    """
    row = _row(db, letter)
    if row["draft_headers"] is None or row["reason"] == DAMAGED:
        raise LookupError(f"dead letter {letter} cannot be sent, so that there is no use in editing it")
    body_now = row["body"]
    assert isinstance(body_now, bytes)
    if hashlib.sha256(body_now).hexdigest() != was:
        raise LookupError(f"dead letter {letter} was edited by somebody else meanwhile")
    first = before(db, letter)
    key = str(row["key"])
    if first is None:
        kept = {name: row[name] for name in ("key", "records", "size", "body")}
        db.execute(_INSERT_EDIT, **kept, letter=letter, edited_at=now)
        key = edited_key(key)
        while _is_known(db, key):
            key = edited_key(key)
    else:
        db.execute(_EDITED_AGAIN, of_letter=letter, now=now)
    db.execute(_CHANGE, of_letter=letter, new_key=key, new_records=records, new_size=size, new_body=body)
    return key


def _is_known(db: Database, key: str) -> bool:
    """Whether there is, or was, another request with it: the same content was refused and edited before."""
    return db.execute(_KNOWN, key=key, part=f"{key}.", behind=f"{key}/").fetchone() is not None


def undo(db: Database, letter: int) -> str:
    """The letter as it died; its key. Raises LookupError when there is none, or when nobody edited it."""
    _row(db, letter)
    first = before(db, letter)
    if first is None:
        raise LookupError(f"dead letter {letter} was not edited")
    db.execute(
        _CHANGE,
        of_letter=letter,
        new_key=first.key,
        new_records=first.records,
        new_size=first.size,
        new_body=first.body,
    )
    db.execute(_FORGET_EDIT, letter=letter)
    return first.key


def edited_key(key: str) -> str:
    """KEY → KEY.e1 → KEY.e2: another body is another request, which no target may take for a repetition."""
    marked = _EDIT_MARK.fullmatch(key)
    return f"{marked[1]}.e{int(marked[2]) + 1}" if marked else f"{key}.e1"


def _row(db: Database, letter: int) -> RowDict:
    row = next(rows_of(db, _ROW, letter=letter), None)
    if row is None:
        raise LookupError(f"there is no dead letter {letter}")
    return row


_JOB = Statement(select(dead.c.job).where(dead.c.id == bindparam("letter")))
