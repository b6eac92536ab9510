"""The first records of a file or a query, as they could be given in a job's test."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import duckdb

from agent.config.model import Job, RecordSource, SqlSource
from agent.message import Cursor, JsonValue
from agent.render.feed import Feed, file_feed
from agent.render.query import Ask, first_marks
from agent.render.query_feed import QueryFeed
from agent.render.values import Context
from agent.sources import duck, faults
from agent.sources.asking import WiderError
from agent.sources.files import SourceFile
from agent.sources.given import first_records
from agent.sources.mark import LOWEST
from agent.sources.relation import Uses


def first_of(
    job: Job, source: RecordSource, file: SourceFile, ctx: Context, count: int
) -> list[dict[str, JsonValue]]:
    """At most `count` of them. Raises SourceError where the file cannot be read as the job says."""
    return _read(job, source, file_feed(source, file, ctx.cancelled), ctx, count)


def first_of_query(
    job: Job, source: SqlSource, ctx: Context, cursor: Cursor | None, count: int
) -> list[dict[str, JsonValue]]:
    """At most `count` rows from where a run would go on. Raises SourceError where they cannot be read."""
    marks = first_marks(source, cursor) or dict.fromkeys(source.cursor, LOWEST)
    ask = Ask(job=job, source=source, ctx=ctx, marks=marks, limit=count)
    while True:
        feed = QueryFeed(source=source, question=ask.question(), ctx=ctx, limit=count)
        try:
            return _read(job, source, feed, ctx, count)
        except WiderError as error:
            if all(ask.wider.get(name) == kind for name, kind in error.wider.items()):
                raise
            ask = replace(ask, wider={**ask.wider, **error.wider})


def _read(job: Job, source: RecordSource, feed: Feed, ctx: Context, count: int) -> list[dict[str, JsonValue]]:
    with ExitStack() as stack:
        temp = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ctx.temp, prefix="first-")))
        found = feed.open(stack, temp)
        con = duck.connect(
            file=found.reading, temp=temp, memory=ctx.memory, threads=ctx.threads, timezone=job.timezone
        )
        stack.enter_context(closing(con))
        try:
            return first_records(con, source, feed.relation(con, found, Uses(record=True)), count)
        except duckdb.Error as error:
            feed.recheck()
            raise faults.translated(error, found) from error
