"""Jobs over queries, a place to run them in, and a child process that dies in the middle of a run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from agent.clock import Clock, SystemClock
from agent.collect import RunResult, collect_job
from agent.config import SecretStore
from agent.config.model import Batch, Database, Job, Only, SecretRef, SettledRows, SqlSource
from agent.databases import KnownDatabases
from agent.render import Context
from agent.spool import Spool
from agent.window import Window
from tests.support.collecting import Hands, bodies_of
from tests.support.processes import run_to_its_end
from tests.support.rendering import make_job, where


def database(url: str, *, name: str = "db", **more) -> Database:
    username = "postgres" if url.startswith(("postgresql", "other")) else None
    more = {"username": username, "timeout": timedelta(seconds=30), **more}
    return Database(name=name, url=url, where=where("connection"), **more)


def secret(name: str) -> SecretRef:
    return SecretRef(kind="secret", name=name, where=where("connection"))


def sql_job(
    query: str,
    *,
    cursor=(),
    map=None,  # noqa: A002 - the word of the YAML
    per="batch",
    records=10,
    settle=None,
    timezone="UTC",
    **source,
) -> Job:
    job = make_job("json", "/none", map=map, per=per, batch=Batch(records=records), timezone=timezone)
    settled = SettledRows(column=settle[0], age=timedelta(seconds=settle[1])) if settle else None
    found = SqlSource(
        connection="db", query=query, cursor=tuple(cursor), settle=settled, where=where("source"), **source
    )
    return replace(job, source=found)


@dataclass
class Place:
    """One spool, one database, and runs on them."""

    state: Path
    database: Database
    clock: Clock = field(default_factory=SystemClock)
    hands: Hands = field(default_factory=Hands)
    stopped: bool = False
    window: Window | None = None
    secrets: Path = Path("/nonexistent")

    def __post_init__(self) -> None:
        self.spool = Spool.open(self.state, max_bytes=10**9, clock=self.clock)
        self.known = KnownDatabases(SecretStore(self.secrets), {"db": self.database})

    @property
    def context(self) -> Context:
        temp = self.state / "tmp"
        temp.mkdir(exist_ok=True)
        return Context(
            temp=temp,
            memory=200_000_000,
            threads=2,
            clock=self.clock,
            cancelled=lambda: self.stopped,
            databases=self.known,
            window=self.window,
        )

    def run(self, job: Job, limit: int | None = None) -> RunResult:
        run = self.spool.start_run(job.name, self.clock.now(), "test", job.sha256).result()
        result = collect_job(job, run, self.spool, self.context, hands=self.hands, limit=limit, poll=0)
        self.spool.end_run(run, state=result.state, reason=result.reason).result()
        return result

    def cursor(self) -> dict:
        stored = self.spool.cursor("j").result() or {}
        return {name: (one["type"], one["value"]) for name, one in stored.get("sql", {}).items()}

    def records(self) -> list[dict]:
        found = []
        for body in bodies_of(self.spool, "j"):
            document = json.loads(body)
            found += document if isinstance(document, list) else [document]
        return found

    def ids(self) -> list[int]:
        return [record["id"] for record in self.records()]

    def close(self) -> None:
        self.spool.close()


def run_child(
    state: Path,
    url: str,
    query: str,
    cursor: str,
    moment: str | int,
    *,
    only: str = "",
    deleted: str = "ignore",
) -> subprocess.CompletedProcess:
    """One run in a process of its own, which dies at a statement of its spool."""
    words = [str(state), url, query, cursor, str(moment), only, deleted]
    return run_to_its_end(sys.executable, "-m", "tests.support.querying", *words, timeout=300)


class Death:
    """SIGKILL before the SQL statement with this number; statements count from `begin` on. 0: never."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._begun = False
        real = sqlite3.connect

        def connect(*args, **kwargs):
            connection = real(*args, **kwargs)
            connection.set_trace_callback(self._trace)
            return connection

        sqlite3.connect = connect

    def begin(self) -> None:
        self._begun = True

    def _trace(self, _: str) -> None:
        if self._begun:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def child(  # noqa: PLR0917 - what a child is told
    state: Path, url: str, query: str, cursor: str, death: Death, only: str, deleted: str
) -> None:
    place = Place(state, database(url))
    death.begin()
    records = int(os.environ.get("RECORDS", "10"))
    map_ = {"id": "=id"} if not only else {"k": "=k", "v": "=v"} if only == "k" else None
    told = Only(changed_by=(only,), deleted=deleted, where=where("only")) if only else None
    columns = cursor.split(",") if cursor else ()
    result = place.run(sql_job(query, cursor=columns, map=map_, records=records, only=told))
    print(result.state, result.reason)
    place.close()


if __name__ == "__main__":
    child(Path(sys.argv[1]), *sys.argv[2:5], Death(int(sys.argv[5])), *sys.argv[6:8])
