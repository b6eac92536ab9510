"""The first records of a file, as they could be given in a job's test."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb

from agent.config.model import Job, RecordSource
from agent.message import JsonValue
from agent.render.feed import file_feed
from agent.render.values import Context
from agent.sources import duck, faults
from agent.sources.files import SourceFile
from agent.sources.given import first_records
from agent.sources.relation import Uses


def first_of(
    job: Job, source: RecordSource, file: SourceFile, ctx: Context, count: int
) -> list[dict[str, JsonValue]]:
    """At most `count` of them. Raises SourceError where the file cannot be read as the job says."""
    with ExitStack() as stack:
        temp = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ctx.temp, prefix="first-")))
        feed = file_feed(source, file)
        found = feed.open(stack, temp)
        timezone = job.schedules[0].timezone if job.schedules else "UTC"
        con = duck.connect(
            file=found.reading, temp=temp, memory=ctx.memory, threads=ctx.threads, timezone=timezone
        )
        stack.enter_context(closing(con))
        try:
            return first_records(con, source, feed.relation(con, found, Uses(record=True)), count)
        except duckdb.Error as error:
            raise faults.translated(error, found) from error
