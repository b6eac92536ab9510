"""A record that became no message: it is kept as a dead letter, with its text and what is wrong with it."""

from __future__ import annotations

import hashlib

from agent.bodies import gzipped
from agent.message import Answer, DeadLetter
from agent.render import BadRecord


def letter_of(bad: BadRecord, *, job: str, run: int, file: int | None, name: str, now: float) -> DeadLetter:
    """The dead letter of a bad record. `file`: row of the spool; `name`: of its source, for people.

    The same record has the same key, also when it is read a second time because of a kill.
    """
    text = bad.text.encode("utf-8", "replace")
    place = f"{name} line {bad.line}" if bad.line is not None else name
    key = hashlib.sha256(f"{job}\0{file}\0{place}\0".encode() + text).hexdigest()[:32]
    return DeadLetter(
        job=job,
        lane=0,
        key=key,
        run=run,
        file=file,
        records=1,
        size=len(text),
        origin=place,
        spooled_at=now,
        died_at=now,
        attempts=0,
        reason="bad record",
        method="",
        url="",
        content_type="text/plain; charset=utf-8",
        body=gzipped(text),
        answer=Answer(status=None, reason=bad.reason),
    )
