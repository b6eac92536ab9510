"""`delivery.latest_by`: of the messages that wait, only the newest of each subject is worth sending.

An older one leaves as a receipt without a status, whose answer names the message that took its place:
found by `find`, counted, in the transaction in which it leaves. A message that is held (its file is still
being read) takes nobody's place before it can be sent itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from agent.message import Answer, Message, Receipt, receipt_for
from agent.spool.database import Database, Statement
from agent.spool.queue import visible
from agent.spool.settle import leave
from agent.spool.tables import messages

SUPERSEDED_BY = "superseded by "

_NEWEST = Statement(
    select(messages.c.key)
    .where(
        messages.c.job == bindparam("job"),
        messages.c.subject == bindparam("subject"),
        messages.c.id > bindparam("message"),
        visible(),
    )
    .order_by(messages.c.id.desc())
    .limit(1)
)


def supersede(db: Database, waiting: Sequence[Message], now: float, failures: int = 0) -> list[int]:
    """Let those leave behind which a newer one can be sent; their ids.

    `failures`: attempts of this process that the first of them does not know of.
    """
    gone: list[int] = []
    for place, message in enumerate(waiting):
        if message.subject is None:
            continue
        row = db.execute(_NEWEST, job=message.job, subject=message.subject, message=message.id).fetchone()
        if row is not None:
            leave(db, message, _receipt(message, str(row[0]), now, 0 if place else failures))
            gone.append(message.id)
    return gone


def _receipt(message: Message, newer: str, now: float, failures: int) -> Receipt:
    answer = Answer(status=None, reason=SUPERSEDED_BY + newer)
    return receipt_for(message, now, message.attempts + failures, "", "", answer)
