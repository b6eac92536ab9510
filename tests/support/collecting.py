"""A place to collect in: real files, a real spool, jobs over them; and a child process that dies in it."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from agent.clock import Clock, SystemClock
from agent.collect import Collector, RunResult, collect_job
from agent.config.model import AgentSettings, Batch, Job, Only
from agent.render import Context
from agent.sources.asking import Databases
from agent.spool import Spool
from tests.support.processes import run_to_its_end
from tests.support.rendering import make_job, where

ROWS_A_REQUEST = 10


def job_of(
    kind: str, pattern: Path | str, *, text: str = "v1", settle: float = 0, done=None, failed=None, **more
) -> Job:
    """A job over files; `text` stands for the text of its file."""
    fields = {key: more.pop(key) for key in ("name", "schedules") if key in more}
    if kind == "csv":
        more = {"map": {"id": "=id"}, "batch": Batch(records=ROWS_A_REQUEST), **more}
    job = make_job(kind, pattern, **more)
    files = replace(job.source.files, settle=timedelta(seconds=settle), done=done, failed=failed)
    return replace(job, source=replace(job.source, files=files), sha256=text, **fields)


@dataclass
class Hands:
    """Notes what a run says; never stops it, unless the test says when."""

    said: list[str] = field(default_factory=list)
    on_pause: Callable[[], bool] = lambda: False

    def say(self, text: str) -> None:
        self.said.append(text)

    def pause(self, seconds: float) -> bool:
        return self.on_pause()


@dataclass
class Place:
    """One spool, and runs on it."""

    spool: Spool
    temp: Path
    clock: Clock = field(default_factory=SystemClock)
    hands: Hands = field(default_factory=Hands)
    stopped: Callable[[], bool] = lambda: False
    databases: Databases | None = None

    def run(self, job: Job, limit: int | None = None) -> RunResult:
        ctx = Context(
            temp=self.temp,
            memory=200_000_000,
            threads=1,
            clock=self.clock,
            cancelled=self.stopped,
            databases=self.databases,
        )
        run = self.spool.start_run(job.name, self.clock.now(), "test", job.sha256).result()
        result = collect_job(job, run, self.spool, ctx, hands=self.hands, limit=limit, poll=0)
        self.spool.end_run(run, state=result.state, reason=result.reason).result()
        return result

    def visible(self, job: str = "j") -> list[bytes]:
        return bodies_of(self.spool, job)

    def ids(self, job: str = "j") -> list[int]:
        return [int(row["id"]) for body in self.visible(job) for row in json.loads(body)]

    def rows(self, job: str, path: Path) -> list[tuple[str, str]]:
        """(state, reason) of a file's rows, newest first."""
        return [(row.state, row.reason) for row in self.spool.files_by_path(job, str(path)).result()]


def bodies_of(spool: Spool, job: str) -> list[bytes]:
    return [
        gzip.decompress(message.body)
        for message in spool.oldest(job, 0, limit=100_000, max_bytes=10**9).result()
    ]


def csv_text(rows: int, start: int = 1) -> str:
    return "id\n" + "".join(f"{number}\n" for number in range(start, start + rows))


def die_at(moment: str) -> None:
    """SIGKILL before the SQL statement with this number, or with this text; whichever thread runs it.

    `fsync:3`: before the third time that a file is made durable by us.
    """
    if moment.startswith("fsync:"):
        die_at_fsync(int(moment.removeprefix("fsync:")))
        return
    seen = 0
    real = sqlite3.connect

    def trace(statement: str) -> None:
        nonlocal seen
        seen += 1
        if str(seen) == moment or (not moment.isdigit() and moment in statement):
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*args, **kwargs):
        connection = real(*args, **kwargs)
        connection.set_trace_callback(trace)
        return connection

    sqlite3.connect = connect


def die_at_fsync(number: int) -> None:
    real, seen = os.fsync, 0

    def fsync(descriptor):
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    os.fsync = fsync


def run_child(state, pattern, die_at=0, *, job=job_of, **options):
    """`child` in a process of its own. `options` are those of `keyed_job`, where that is the job."""
    words = [job.__name__, json.dumps(options)]
    return run_to_its_end(
        sys.executable, "-m", "tests.support.collecting", str(state), str(pattern), str(die_at), *words
    )


def keyed_job(kind: str, pattern: Path | str, *, on_bad_row: str = "fail", deleted: str = "ignore") -> Job:
    """A job that sends new and changed records only."""
    only = Only(changed_by=("id",), deleted=deleted, where=where("source.only"))
    return job_of(kind, pattern, map={"id": "=id", "v": "=v"}, on_bad_row=on_bad_row, only=only)


async def child(state: Path, pattern: str, kind: str, options: str) -> None:
    """One run of a CSV job in a collector."""
    spool = await asyncio.to_thread(Spool.open, state, max_bytes=10**9, clock=SystemClock())
    collector = Collector(spool, AgentSettings(state=state, collect_memory=200_000_000), SystemClock())
    job = {"job_of": job_of, "keyed_job": keyed_job}[kind]("csv", pattern, **json.loads(options))
    collector.set_jobs({job.name: job})
    await collector.start()
    result = await collector.run_now(job.name)
    print(result.state, result.reason)
    await collector.stop(5)
    await asyncio.to_thread(spool.close)


if __name__ == "__main__":
    die_at(sys.argv[3])
    asyncio.run(child(Path(sys.argv[1]), sys.argv[2], *sys.argv[4:]))
