"""What `find` asks the database, in SQLAlchemy Core. `find.sql` beside it is what comes out of it.

A command that finds something in 0.2 s cannot wait 0.3 s for SQLAlchemy, so `look` reads the text. A test
holds the two together; `WRITE_EXPECTED=1 pytest tests/spool/test_questions.py` writes it anew.
"""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.schema import Column

from agent.spool.memory import WAITS
from agent.spool.queue import ANY_EARLIER, visible
from agent.spool.tables import dead, key_pages, messages, receipt_keys, receipts


def _is(column: Column[str]) -> ColumnElement[bool]:
    """This key, or that of a part of it: `KEY.217-217` lies between `KEY.` and `KEY/`."""
    parts = and_(column >= bindparam("part"), column < bindparam("behind"))
    return or_(column == bindparam("key"), parts)


_MESSAGE = (
    *(messages.c[name] for name in ("id", "job", "lane", "key", "run", "records", "size", "origin")),
    *(messages.c[name] for name in ("spooled_at", "attempts")),
    visible().label("visible"),
)
_ALIKE = ("id", "job", "lane", "key", "run", "records", "size", "origin", "spooled_at", "attempts")
_ANSWER = ("method", "url", "status", "answer", "answer_headers", "answer_body")
_LETTER = (*(dead.c[name] for name in (*_ALIKE, *_ANSWER)), dead.c.died_at.label("settled_at"), dead.c.reason)
_RECEIPT = (
    *(receipts.c[name] for name in (*_ALIKE, *_ANSWER)),
    receipts.c.delivered_at.label("settled_at"),
)

_NEWEST_PART = select(func.max(key_pages.c.part).label("part")).cte("parts", recursive=True)
_BELOW = key_pages.alias("below")
_NEXT_PART = select(func.max(_BELOW.c.part)).where(_BELOW.c.part < _NEWEST_PART.c.part).scalar_subquery()
_PARTS = _NEWEST_PART.union_all(select(_NEXT_PART).where(_NEWEST_PART.c.part.is_not(None)))
_IN_PART = key_pages.alias("in_part")
_LAST_PAGE = (
    select(_IN_PART.c.id)
    .where(_IN_PART.c.part == _PARTS.c.part, _IN_PART.c.first <= bindparam("mark"))
    .order_by(_IN_PART.c.first.desc(), _IN_PART.c.id.desc())
    .limit(1)
    .correlate(_PARTS)
    .scalar_subquery()
)

QUESTIONS: dict[str, Select[*tuple[object, ...]]] = {
    # Also the message whose part is asked for, and parts that died and were sent again.
    "waiting": select(*_MESSAGE).where(or_(messages.c.key == bindparam("whole"), _is(messages.c.key))),
    "waiting_keys": select(messages.c.id, messages.c.record_keys)
    .where(messages.c.record_keys.is_not(None), func.instr(messages.c.record_keys, bindparam("mark")) > 0)
    .order_by(messages.c.id),
    "waiting_one": select(*_MESSAGE).where(messages.c.id == bindparam("message")),
    "progress": select(messages.c.progress).where(messages.c.id == bindparam("message")),
    "ahead": select(func.count()).where(
        messages.c.job == bindparam("job"),
        messages.c.lane == bindparam("lane"),
        messages.c.id < bindparam("message"),
    ),
    "earlier": ANY_EARLIER,
    "waits": WAITS,
    "dead": select(*_LETTER).where(_is(dead.c.key)).order_by(dead.c.id.desc()),
    "dead_keys": select(dead.c.id, dead.c.record_keys)
    .where(dead.c.record_keys.is_not(None), func.instr(dead.c.record_keys, bindparam("mark")) > 0)
    .order_by(dead.c.id.desc()),
    "dead_one": select(*_LETTER).where(dead.c.id == bindparam("letter")),
    "receipts": select(*_RECEIPT).where(_is(receipts.c.key)).order_by(receipts.c.id.desc()),
    "fresh_keys": select(receipt_keys)
    .where(func.instr(receipt_keys.c.record_keys, bindparam("mark_bytes")) > 0)
    .order_by(receipt_keys.c.receipt.desc()),
    # Of each part the one page that may hold the mark, if it does: the database alone looks through it.
    "key_pages": select(
        key_pages.c.part, key_pages.c.first, key_pages.c.base, key_pages.c.marks, key_pages.c.receipts
    )
    .select_from(_PARTS)
    .join(key_pages, key_pages.c.id == _LAST_PAGE)
    .where(func.instr(key_pages.c.marks, bindparam("mark_bytes")) > 0),
    "pages_of_part": select(key_pages.c.last, key_pages.c.base, key_pages.c.marks, key_pages.c.receipts)
    .where(key_pages.c.part == bindparam("of_part"), key_pages.c.first <= bindparam("mark"))
    .order_by(key_pages.c.first.desc(), key_pages.c.id.desc()),
    "receipt": select(*_RECEIPT).where(receipts.c.id == bindparam("receipt")),
}


def text_of(question: Select[*tuple[object, ...]]) -> str:
    """As the driver takes it, with named parameters."""
    compiled = question.compile(dialect=SQLiteDialect_pysqlite(paramstyle="named"))
    assert isinstance(compiled, SQLCompiler)
    fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    text = re.sub(r":(\w+)", lambda found: _shown(found[1], fixed), str(compiled))
    return "\n".join(line.rstrip() for line in text.splitlines())


def _shown(name: str, fixed: dict[str, object]) -> str:
    value = fixed.get(name)
    assert value is None or isinstance(value, int | str)
    return f":{name}" if value is None else repr(value)


def written() -> str:
    """All of `find.sql`."""
    head = "-- Written by tests/spool/test_questions.py out of questions.py.\n"
    return head + "".join(f"\n-- {name}\n{text_of(one)}\n" for name, one in QUESTIONS.items())
