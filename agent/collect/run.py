"""One run of one job, in a worker thread: what kind of source it has decides how."""

from __future__ import annotations

from agent.collect.by_file import FileRun
from agent.collect.by_log import LogRun
from agent.collect.by_page import PageRun
from agent.collect.result import Hands, RunResult
from agent.collect.whole import let_go
from agent.config.model import CommandSource, HttpSource, Job, SqlSource, files_of, log_of
from agent.pull.tools import Tools
from agent.render import Context
from agent.sources import libraries
from agent.spool import Spool


def collect_job(
    job: Job,
    run: int,
    spool: Spool,
    ctx: Context,
    *,
    hands: Hands,
    limit: int | None = None,
    poll: float = 2.0,
    tools: Tools | None = None,
) -> RunResult:
    """Collect what is new. `limit`: nothing further is begun once so many records are spooled.

    `poll`: seconds between two looks at a full spool. What is wrong with the source is in the result, not
    raised; StateError when the spool cannot be used. `tools`: for sources that are asked for documents.
    """
    let_go(job, spool)
    if isinstance(job.source, HttpSource | CommandSource):
        assert tools is not None
        return PageRun(job, run, spool, ctx, tools, hands=hands, poll=poll).go(limit)
    if isinstance(job.source, SqlSource):
        libraries.load()
        from agent.collect.by_query import QueryRun  # noqa: PLC0415 - Arrow, when a job needs it

        return QueryRun(job, job.source, run, spool, ctx, hands=hands, poll=poll).go(limit)
    if (logs := log_of(job.source)) is not None:
        return LogRun(job, logs, run, spool, ctx, hands=hands, poll=poll).go(limit)
    files = files_of(job.source)
    assert files is not None
    return FileRun(job, files, run, spool, ctx, hands=hands, poll=poll).go(limit)
