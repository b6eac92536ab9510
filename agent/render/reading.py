"""A feed that is open in DuckDB, and what a job asks of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.config.model import Job, Only, RawBody, RecordBody, RecordSource, only_of
from agent.errors import Problem
from agent.render import wide
from agent.render.feed import Feed
from agent.render.values import Context, UnfitError
from agent.sources import duck, expressions
from agent.sources.expressions import wrong_types
from agent.sources.interrupt import interrupted_when
from agent.sources.kept import Setting
from agent.sources.keyed import Keyed, gone, keyed, wanting
from agent.sources.query import Query, Wanted, build, parsed
from agent.sources.relation import Opened, Relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


ROWS = 4096
"""Rows that DuckDB hands over at once: two of its vectors, a few MB."""


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
    scan: DuckDBPyConnection
    """The connection that reads the feed."""
    rows: int
    """That it hands over at once."""
    keyed: Keyed | None = None
    """With `only: {changed_by: …}`."""


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
    dead_letter = source.on_bad_row == "dead_letter"
    connect = partial(_connected, job, found, ctx, stack, temp)
    explained = dead_letter or feed.once
    con = _first(job, ctx, stack, connect, careful=explained)
    wrong = wrong_types(con, job.file, source)
    if wrong:
        raise UnfitError(wrong, found)
    wanted = _wanted(job, explained=explained)
    leaves, fillings, problems = parsed(con, wanted)
    if not problems:
        uses = expressions.uses(leaves, fillings, wanted.body)
        only = only_of(source)
        uses = uses if only is None else wanting(uses, only)
        relation = feed.relation(con, found, uses)
        careful, scan, few = partial(connect, careful=True), con, None
        if not feed.once and (few := wide.rows_of(con, relation, uses)) is not None:
            careful = partial(_careful, connect, relation, few)
            scan = connect(careful=False)
            wide.register(con, scan, relation, few)
            relation = wide.narrowed(relation)
        key = None
        if only is not None:  # what is picked is known only when all of it was seen
            start_row = 0
            relation, key = keyed(con, found, relation, only)
            wanted = replace(wanted, carried=(*wanted.carried, *key.carried))
            problems = _deletions(con, job, only, key)
        query = problems or build(con, relation, wanted, leaves, start_row=start_row)
        if isinstance(query, Query):
            if key is not None:
                query = replace(query, stream=key.marked(query))
            return Reading(
                con=con,
                file=found,
                relation=relation,
                query=query,
                dead_letter=dead_letter,
                careful=careful,
                scan=scan,
                rows=ROWS if few is None else few,
                keyed=key,
            )
        problems = query
    raise UnfitError(problems, found)


def _wanted(job: Job, *, explained: bool) -> Wanted:
    assert not isinstance(job.body, RawBody)
    return Wanted(
        body=job.body,
        target=job.target,
        dead_letter=explained,
        delivery=job.delivery,
        keys=job.receipt_keys,
    )


class _Connect(Protocol):
    def __call__(self, *, careful: bool) -> DuckDBPyConnection: ...


def _careful(connect: _Connect, relation: Relation, rows: int) -> DuckDBPyConnection:
    """A connection that can read wide records anew."""
    con = connect(careful=True)
    wide.register(con, connect(careful=False), relation, rows)
    return con


def _connected(
    job: Job, found: Opened, ctx: Context, stack: ExitStack, temp: Path, *, careful: bool
) -> DuckDBPyConnection:
    con = duck.connect(
        file=found.reading,
        temp=temp,
        memory=ctx.memory,
        threads=ctx.threads,
        timezone=job.timezone,
        careful=careful,
    )
    return _entered(con, ctx, stack)


def _first(
    job: Job, ctx: Context, stack: ExitStack, connect: _Connect, *, careful: bool
) -> DuckDBPyConnection:
    """The connection of a reading; of a small file it is one to a DuckDB that was there before."""
    if ctx.kept is None:
        return connect(careful=careful)
    setting = Setting(memory=ctx.memory, threads=ctx.threads, timezone=job.timezone, careful=careful)
    return _entered(ctx.kept.connect(setting), ctx, stack)


def _entered(con: DuckDBPyConnection, ctx: Context, stack: ExitStack) -> DuckDBPyConnection:
    stack.enter_context(closing(con))
    stack.enter_context(interrupted_when(ctx.cancelled, con.interrupt))
    return con


def _deletions(con: DuckDBPyConnection, job: Job, only: Only, key: Keyed) -> list[Problem]:
    """What is wrong with the job's expressions for keys that are gone."""
    if only.deleted == "ignore":
        return []
    texts = ", ".join(f"CAST(NULL AS VARCHAR) AS {text}" for text in key.texts)
    query = gone_query(con, job, only, gone(key, f"SELECT {texts}"), dead_letter=False, start_row=0)
    return [] if isinstance(query, Query) else query


def gone_body(job: Job, only: Only) -> RecordBody:
    """The job's body with the map for keys that are gone."""
    assert not isinstance(job.body, RawBody)
    return replace(job.body, map=only.deleted_map)


def gone_query(
    con: DuckDBPyConnection, job: Job, only: Only, relation: Relation, *, dead_letter: bool, start_row: int
) -> Query | list[Problem]:
    """The query over the keys that are gone; or what is wrong with the expressions of the job for them."""
    # a key has no time: it is as old as its message
    latest = job.delivery.latest_by
    known = expressions.computable(con, [*([latest] if latest else []), *job.receipt_keys], relation.names)
    delivery = replace(job.delivery, expire=None, latest_by=latest if latest in known else None)
    wanted = Wanted(
        body=gone_body(job, only),
        target=job.target,
        dead_letter=dead_letter,
        delivery=delivery,
        keys=tuple(key for key in job.receipt_keys if key in known),
    )
    leaves, _, problems = parsed(con, wanted)
    return problems or build(con, relation, wanted, leaves, start_row=start_row)
