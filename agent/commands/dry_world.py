"""What a dry run works with: a job, its connections, and what the daemon has read already. Only reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from agent.config.model import Connection, Job, Plan
    from agent.databases import KnownDatabases
    from agent.message import Cursor
    from agent.render import Context
    from agent.sources.seen import Seen
    from agent.stamp import FileStamp
    from agent.window import Window


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """A job and all that stands in the config beside it."""

    config: Path
    plan: Plan
    job: Job

    @property
    def connection(self) -> Connection:
        """Where the job's requests would go."""
        return self.plan.connections[self.job.target.connection]

    @contextmanager
    def context(self, window: Window | None = None) -> Iterator[Context]:
        """What a rendering may use; its folder is gone afterwards."""
        from agent.clock import SystemClock  # noqa: PLC0415
        from agent.render import Context  # noqa: PLC0415

        settings = self.plan.settings
        with tempfile.TemporaryDirectory(prefix="push-agent-") as temp:
            yield Context(
                temp=Path(temp),
                memory=settings.collect_memory,
                threads=settings.collect_threads,
                clock=SystemClock(),
                cancelled=lambda: False,
                thorough=True,
                databases=self._databases(),
                window=window,
            )

    def _databases(self) -> KnownDatabases | None:
        """What a SQL source may read; None for jobs that have none."""
        from agent.config.model import SqlSource  # noqa: PLC0415

        if not isinstance(self.job.source, SqlSource):
            return None
        from agent.config import SecretStore  # noqa: PLC0415
        from agent.databases import KnownDatabases  # noqa: PLC0415

        return KnownDatabases(SecretStore(self.config.absolute()), self.plan.databases)


def find(config: Path, name: str) -> World:
    """The job; only what is wrong with it is told. Raises ConfigError and UsageError."""
    import difflib  # noqa: PLC0415 - beside its use

    from agent.config import load  # noqa: PLC0415

    loaded = load(config)
    job = loaded.plan.jobs.get(name)
    if job is None:
        if loaded.errors:
            raise ConfigError(loaded.errors)
        near = difflib.get_close_matches(name, loaded.plan.jobs, n=1)
        known = ", ".join(sorted(loaded.plan.jobs)) or "none"
        hint = f"did you mean {near[0]}?" if near else f"the jobs there are: {known}"
        raise UsageError(f"there is no job {name!r} in {config}", hint=hint)
    return World(config=config, plan=loaded.plan, job=job)


def known_files(state: Path, job: str) -> set[FileStamp]:
    """Files that the daemon has read already. The state is only read, without leaving a byte behind."""
    if not state.is_dir():
        return set()
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(state) as reader:
        return {row.stamp for row in reader.files(job, limit=100_000)}


def cursor_of(state: Path, job: Job) -> Cursor | None:
    """How far the daemon has come with a source that is asked, or with its logs. Only read."""
    from agent.config.model import HttpSource, SqlSource, log_of  # noqa: PLC0415

    asked = isinstance(job.source, HttpSource | SqlSource) or log_of(job.source) is not None
    if not asked or not state.is_dir():
        return None
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(state) as reader:
        return reader.cursor(job.name)


def seen_of(state: Path, job: Job) -> Seen:
    """What was sent for each key, of a job that sends new and changed records only."""
    from agent.collect.known import FOLDER, layer_of, layers_of  # noqa: PLC0415 - needs the spool
    from agent.config.model import files_of, only_of  # noqa: PLC0415
    from agent.sources.seen import Seen  # noqa: PLC0415
    from agent.spool import Reader  # noqa: PLC0415

    only = only_of(job.source)
    if only is None or not state.is_dir():
        return Seen()
    folder = state / FOLDER / job.name
    with Reader.open(state) as reader:
        layers, _ = layers_of((reader.cursor(job.name) or {}).get("seen"), folder, only.changed_by)
    found = tuple(layer_of(folder, one) for one in layers)
    return Seen(layers=found, parts=files_of(job.source) is not None)


def window_of(state: Path, job: Job) -> Window | None:
    """What the next run is about; where nothing is due, the last one was. None for jobs without windows."""
    from agent.config.model import uses_window, window_delay  # noqa: PLC0415

    if not uses_window(job.source):
        return None
    import time  # noqa: PLC0415 - beside its use

    from agent.collect.windows import Grid, next_window, one_by_one  # noqa: PLC0415
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    marks = []
    if state.is_dir():
        with Reader.open(state) as reader:
            marks = [mark for mark in reader.window_marks() if mark.job == job.name]
    grid, now = Grid.of(job), time.time() - window_delay(job.source)
    due = next_window(grid, marks[0] if marks else None, now, each=one_by_one(job))
    return due or next_window(grid, None, now, each=False)
