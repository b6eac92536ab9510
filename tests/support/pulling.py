"""Runs of jobs that ask for documents: a real config, spool, connection and server, in one event loop."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from pathlib import Path

from agent.auth.fixed import NoSession
from agent.clock import SystemClock
from agent.collect import collect_job
from agent.config import load
from agent.connections import open_connection
from agent.pull.fetch import LoopFetch
from agent.pull.tools import Tools
from agent.render import Context
from agent.spool import Reader, Spool
from agent.window import Window
from tests.support.collecting import Hands, die_at
from tests.support.delivery import half
from tests.support.processes import ROOT, unmeasured

JOB = """\
job: pulled
schedule: {schedule}
source:
{source}
body: {body}
batch: {{records: 2}}
target: {{connection: sink, path: /in}}
"""
SINK = "connection: sink\ntype: http\nurl: https://sink.example.com\n"


class PullWorld:
    """One state folder; every `run` is a run of the job as the collector would do it."""

    def __init__(self, folder: Path, url: str = "", *, clock=None, connection=""):
        self.config = folder / "config"
        for name in ("connections", "jobs", "secrets"):
            (self.config / name).mkdir(parents=True, exist_ok=True)
        self.write("connections/sink.yaml", SINK)
        if url:
            self.write("connections/api.yaml", f"connection: api\ntype: http\nurl: {url}\n{connection}")
        self.temp = folder / "tmp"
        self.temp.mkdir(exist_ok=True)
        self.clock = clock or SystemClock()
        self.state = folder / "state"
        self.spool = Spool.open(self.state, max_bytes=10**9, clock=self.clock)
        self.opened = {}
        self.hands = Hands()
        self.stopped = lambda: False
        self.loaded = None

    def write(self, path, text):
        (self.config / path).write_text(text)

    def job(self, source, *, body="{format: json}", schedule="{every: 1h}"):
        lines = "\n".join(f"  {line}" for line in source.strip().splitlines())
        self.write("jobs/pulled.yaml", JOB.format(source=lines, body=body, schedule=schedule))
        self.loaded = load(self.config)
        assert not self.loaded.problems, self.loaded.problems
        return self

    async def connect(self, session=None):
        connection = self.loaded.plan.connections["api"]
        self.opened["api"] = await open_connection(
            connection, lambda _: session or NoSession("api"), clock=self.clock, random=half
        )
        return self.opened["api"]

    def tools(self, allowed=None):
        connections = self.loaded.plan.connections
        return Tools(
            fetch=LoopFetch(asyncio.get_running_loop(), self.opened.get, self.clock),
            connection=connections.get,
            allowed=lambda: self.loaded.plan.settings.commands_allow if allowed is None else allowed,
        )

    async def run(self, limit=None, window=None, allowed=None, *, ended=True):
        if "api" in self.loaded.plan.connections and not self.opened:
            await self.connect()
        job, tools = self.loaded.plan.jobs["pulled"], self.tools(allowed)
        return await asyncio.to_thread(self._run, job, tools, limit, window, ended=ended)

    def _run(self, job, tools, limit, window, *, ended):
        ctx = Context(
            temp=self.temp,
            memory=200_000_000,
            threads=1,
            clock=self.clock,
            cancelled=self.stopped,
            window=window and Window(since=window[0], until=window[1]),
        )
        run = self.spool.start_run(job.name, self.clock.now(), "test", job.sha256).result()
        result = collect_job(job, run, self.spool, ctx, hands=self.hands, limit=limit, poll=0, tools=tools)
        if ended:
            self.spool.end_run(run, state=result.state, reason=result.reason).result()
        return result

    def bodies(self):
        messages = self.spool.oldest("pulled", 0, limit=100_000, max_bytes=10**9).result()
        return [json.loads(gzip.decompress(message.body)) for message in messages]

    def ids(self):
        return [int(row["id"]) for body in self.bodies() for row in body]

    def origins(self):
        return [message.origin for message in self.spool.oldest("pulled", 0, limit=1000).result()]

    def spool_runs(self):
        with Reader.open(self.state) as reader:
            return reader.runs("pulled")

    @property
    def cursor(self):
        return self.spool.cursor("pulled").result()

    async def close(self):
        for one in self.opened.values():
            await one.close(grace=0)
        await asyncio.to_thread(self.spool.close)


def rows(*numbers):
    return [{"id": number} for number in numbers]


async def run_child(folder, url, source, moment):
    """One run in a process of its own, which dies at that SQL statement; its exit code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.pulling", str(folder), url, source, str(moment)),
        cwd=ROOT,
        env=unmeasured(),
    )
    return await process.wait()


async def child(folder, url, source):
    world = PullWorld(Path(folder), url)
    result = await world.job(source).run()
    await world.close()
    assert result.state == "done", result


if __name__ == "__main__":
    die_at(sys.argv[4])
    asyncio.run(child(*sys.argv[1:4]))
