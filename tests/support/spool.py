"""Spools for tests: short ways to make what goes in and what comes out."""

from __future__ import annotations

from pathlib import Path

from agent.message import Answer, DeadLetter, Draft, Message, Receipt, receipt_for
from agent.spool import Spool
from agent.stamp import FileStamp
from tests.support.clock import FakeClock

OK = Answer(status=200, reason="200 OK", headers={"Server": "sink"}, body="thanks")


def open_spool(state: Path, *, max_bytes: int = 1_000_000_000, clock: FakeClock | None = None) -> Spool:
    return Spool.open(state, max_bytes=max_bytes, clock=clock or FakeClock())


def draft(body: bytes = b"body", *, lane: int = 0, records: int = 1, **more: object) -> Draft:
    return Draft(
        body=body, size=len(body), records=records, content_type="application/json", lane=lane, **more
    )


def receipt(message: Message, *, at: float = 1_800_000_001.0) -> Receipt:
    return receipt_for(message, at, message.attempts + 1, "POST", "https://target.test/in", OK)


def letter(message: Message, reason: str = "refused") -> DeadLetter:
    return DeadLetter(
        job=message.job,
        lane=message.lane,
        key=message.key,
        run=message.run,
        file=message.file,
        records=message.records,
        size=message.size,
        origin=message.origin,
        spooled_at=message.spooled_at,
        died_at=1_800_000_002.0,
        attempts=1,
        reason=reason,
        method="POST",
        url="https://target.test/in",
        content_type=message.content_type,
        headers=message.headers,
        body=message.body,
        record_keys=message.record_keys,
        answer=Answer(status=422, reason="422 Unprocessable Content", body="no such vehicle"),
    )


def stamp(path: str = "/in/a.csv", **more: int) -> FileStamp:
    return FileStamp(**{"path": path, "device": 2**63 + 1, "inode": 2, "size": 3, "mtime_ns": 4, **more})


def bodies(spool: Spool, job: str = "gps", lane: int = 0) -> list[bytes]:
    return [message.body for message in spool.oldest(job, lane, limit=100_000).result()]
