"""A job with tests in a config folder, and what comes of them."""

from __future__ import annotations

import gzip
from pathlib import Path

from agent.clock import SystemClock
from agent.config import load
from agent.render import Context
from agent.testing import run_test
from agent.testing.trial import make

CONNECTION = """\
connection: open
type: http
url: http://127.0.0.1:9/api
endpoints: {events: http://127.0.0.1:9/api/events}
"""
HEAD = """\
job: one
schedule: {every: 30s}
"""
TARGET = "target: {connection: open, endpoint: events}\n"


class Trials:
    """`put` a job (its source, its body, its tests), then `results()`."""

    def __init__(self, folder: Path):
        self.config = folder / "config"
        self.temp = folder / "temp"
        self.temp.mkdir(parents=True)
        for name in ("jobs", "connections"):
            (self.config / name).mkdir(parents=True)
        (self.config / "connections/open.yaml").write_text(CONNECTION)

    def put(self, text, *, target=TARGET, head=HEAD):
        (self.config / "jobs/one.yaml").write_text(head + text + target)

    def loaded(self):
        loaded = load(self.config)
        assert not loaded.problems, "\n".join(str(problem) for problem in loaded.problems)
        return loaded

    def problems(self):
        return [str(problem) for problem in load(self.config).problems]

    def context(self, **changes):
        return Context(
            temp=self.temp,
            memory=256_000_000,
            threads=1,
            clock=SystemClock(),
            cancelled=lambda: False,
            **changes,
        )

    @property
    def job(self):
        return self.loaded().plan.jobs["one"]

    def results(self):
        plan = self.loaded().plan
        job = plan.jobs["one"]
        return [run_test(job, plan.connections["open"], test, self.context()) for test in job.tests]

    def told(self):
        """The failures of the only test, as (what, path, expected, got)."""
        (result,) = self.results()
        return [(one.what, one.path, one.expected, one.got) for one in result.failures]

    def bodies(self):
        """What the requests of the only test hold."""
        plan = self.loaded().plan
        (test,) = plan.jobs["one"].tests
        made = make(plan.jobs["one"], plan.connections["open"], test.given, self.context())
        assert made.error is None, made.error
        return [gzip.decompress(draft.body).decode() for draft, _ in made.requests]
