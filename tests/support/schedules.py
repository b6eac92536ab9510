"""Jobs with a schedule, and a memory for them in a real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from agent.config.model import Files, FileSource, Job, RawBody, Schedule, Target, Where

WHERE = Where(file="jobs/x.yaml", line=1, column=1, path="")


def schedule(**fields: object) -> Schedule:
    return Schedule(where=WHERE, **fields)


def job(
    name: str, *schedules: Schedule, sha256: str = "", paths: tuple[str, ...] = ("/nowhere/*.csv",)
) -> Job:
    return Job(
        name=name,
        schedules=schedules,
        source=FileSource(files=Files(paths=paths), where=WHERE),
        body=RawBody(),
        target=Target(connection="stg", url="http://127.0.0.1:9/", where=WHERE),
        file=f"jobs/{name}.yaml",
        sha256=sha256 or name,
        where=WHERE,
    )


class DueMemory:
    """`last_due` in a SQLite file: it survives whoever uses it."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")  # it survives the object, not a power cut
        self._db.execute("CREATE TABLE IF NOT EXISTS due (job, ident, due REAL, PRIMARY KEY (job, ident))")

    async def last_due(self, job: str, ident: str) -> float | None:
        row = self._db.execute("SELECT due FROM due WHERE job = ? AND ident = ?", (job, ident)).fetchone()
        return row[0] if row else None

    async def set_last_due(self, job: str, ident: str, due: float) -> None:
        self._db.execute("INSERT OR REPLACE INTO due VALUES (?, ?, ?)", (job, ident, due))

    def close(self) -> None:
        self._db.close()


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - a condition of any kind has no event
            await asyncio.sleep(0.002)
