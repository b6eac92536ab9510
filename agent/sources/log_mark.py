"""How far a growing log was read, and whether a file is still that log. No file is written here.

A log is known by its device and inode, wherever it was renamed to; and by what stands before the place that
was reached: another text there is another log, in whatever file it lies.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, fields

from agent.message import Cursor, JsonValue

LOOKED_AT = 4096
"""Bytes at the start, and before the place that was reached, by which a log is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How far one log was read. All places are behind a complete record."""

    number: int
    """Of the job, never given twice: what begins anew has another one."""
    path: str
    """Where it was met last."""
    device: str
    inode: str
    offset: int = 0
    """Bytes that are done with."""
    line: int = 0
    """Line ends in them."""
    rows: int = 0
    """Records in them."""
    header: int = 0
    """Bytes of the first record of a CSV; 0: not known yet."""
    head: str = ""
    """The SHA-256 of the first 4 KB, or of all that is done with."""
    tail: str = ""
    """Of the 4 KB before `offset`."""
    size: int = 0
    """Bytes that there were when it was read last."""
    end: int = 0
    """Where the part under way ends; 0: none is."""
    done: int = 0
    """Records of that part that are spooled."""
    problem: str = ""
    """Why it could not be read on, as it was told last."""

    def is_in(self, descriptor: int) -> bool:
        """Whether an open file holds this log, as far as it was read."""
        if os.fstat(descriptor).st_size < max(self.offset, self.end):
            return False
        return (self.head, self.tail) == prints(descriptor, self.offset)


def prints(descriptor: int, offset: int) -> tuple[str, str]:
    """`head` and `tail` of a file that was read up to `offset`."""
    size = min(LOOKED_AT, offset)
    head, tail = os.pread(descriptor, size, 0), os.pread(descriptor, size, offset - size)
    return hashlib.sha256(head).hexdigest(), hashlib.sha256(tail).hexdigest()


def new_mark(number: int, path: str, device: int, inode: int) -> Mark:
    """Of a log of which nothing was read."""
    nothing = hashlib.sha256().hexdigest()
    return Mark(number=number, path=path, device=str(device), inode=str(inode), head=nothing, tail=nothing)


def to_cursor(marks: list[Mark], following: int) -> Cursor:
    """The job's cursor. `following`: the number of the next new log."""
    logs: list[JsonValue] = [dict(asdict(mark)) for mark in marks]
    return {"logs": logs, "next": following}


def from_cursor(cursor: Cursor | None) -> tuple[list[Mark], int]:
    """What `to_cursor` wrote; nothing where the job read its files in another way before."""
    found = (cursor or {}).get("logs")
    marks = [mark for one in found if (mark := _mark(one))] if isinstance(found, list) else []
    following = (cursor or {}).get("next")
    least = max((mark.number for mark in marks), default=0) + 1
    return marks, max(following, least) if isinstance(following, int) else least


def _mark(one: JsonValue) -> Mark | None:
    if not isinstance(one, dict):
        return None
    known = {field.name: one.get(field.name) for field in fields(Mark)}
    wanted = {field.name: int if field.type == "int" else str for field in fields(Mark)}
    if any(not isinstance(known[name], kind) for name, kind in wanted.items()):
        return None
    return Mark(**known)  # type: ignore[arg-type]  # looked at just now
