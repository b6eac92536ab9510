"""A feed that is open, with the job bound to it: ready to be streamed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.model import Job, RawBody, RecordSource
from agent.render.feed import Feed
from agent.render.interrupt import interrupted_when
from agent.render.values import Context, UnfitError
from agent.sources import duck, expressions
from agent.sources.expressions import wrong_types
from agent.sources.query import Query, Wanted, build, parsed
from agent.sources.relation import Opened, Relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A feed that is open in a connection, and what is asked of it."""

    con: DuckDBPyConnection
    file: Opened
    relation: Relation
    query: Query
    dead_letter: bool
    careful: Callable[[], DuckDBPyConnection]
    """Another connection, for looking for the record that made the stream fail."""


def open_feed(  # noqa: PLR0917 - the one place where a reading is put together
    job: Job,
    source: RecordSource,
    feed: Feed,
    found: Opened,
    ctx: Context,
    stack: ExitStack,
    temp: Path,
    *,
    start_row: int,
) -> Reading:
    """Open a connection on an open feed and bind the job to it. Raises SourceError where they do not fit."""
    assert not isinstance(job.body, RawBody)
    dead_letter = source.on_bad_row == "dead_letter"

    def connect(*, careful: bool) -> DuckDBPyConnection:
        con = duck.connect(
            file=found.reading,
            temp=temp,
            memory=ctx.memory,
            threads=ctx.threads,
            timezone=job.schedules[0].timezone if job.schedules else "UTC",
            careful=careful,
        )
        stack.enter_context(closing(con))
        stack.enter_context(interrupted_when(ctx.cancelled, con.interrupt))
        return con

    explained = dead_letter or feed.once
    con = connect(careful=explained)
    wrong = wrong_types(con, job.file, source)
    if wrong:
        raise UnfitError(wrong, found)
    wanted = Wanted(body=job.body, target=job.target, dead_letter=explained, delivery=job.delivery)
    leaves, fillings, problems = parsed(con, wanted)
    if not problems:
        uses = expressions.uses(leaves, fillings, job.body)
        relation = feed.relation(con, found, uses)
        query = build(con, relation, wanted, leaves, start_row=start_row)
        if isinstance(query, Query):
            return Reading(
                con=con,
                file=found,
                relation=relation,
                query=query,
                dead_letter=dead_letter,
                careful=partial(connect, careful=True),
            )
        problems = query
    raise UnfitError(problems, found)
