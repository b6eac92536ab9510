"""A job whose source is a query: where it starts, and its chunks. Reads, and keeps nothing in mind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pyarrow as pa

from agent.config.model import Job, SqlSource
from agent.config.sql_text import read_sql
from agent.errors import SourceError
from agent.message import Cursor
from agent.render import render_feed
from agent.render.query_feed import QueryFeed
from agent.render.values import Chunk, Context
from agent.sources.asking import Answer, Question, WiderError
from agent.sources.mark import LOWEST, Mark, Marks, from_cursor, moment, to_cursor, written
from agent.sources.positions import Positions
from agent.sources.seen import NOTHING, Seen


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What one reading of a query asks for."""

    job: Job
    source: SqlSource
    ctx: Context
    marks: Marks
    """Where it goes on: a value for each column of the cursor."""
    wider: Mapping[str, str] = field(default_factory=dict)
    """See `Question.wider`."""
    limit: int | None = None
    """Rows at most."""
    seen: Seen = NOTHING
    """What was sent before (`only: {changed_by: …}`)."""

    def chunks(self, *, start_row: int = 0) -> Iterator[Chunk]:
        """Run the query and give its drafts in order. Raises as `render_file` does, and WiderError."""
        feed = QueryFeed(source=self.source, question=self.question(), ctx=self.ctx, limit=self.limit)
        yield from render_feed(self.job, self.source, feed, self.ctx, start_row=start_row, seen=self.seen)

    def question(self) -> Question:
        """The query with all its values. Raises SourceError where it needs a window and there is none."""
        query = read_sql(self.source.query)
        marks = {name: mark for name, mark in self.marks.items() if name in query.names}
        for name in ("since", "until"):
            if name in query.names and name not in marks:
                marks[name] = self._window(name)
        return Question(
            job=self.job.name,
            query=query,
            marks=marks,
            cursor=self.source.cursor,
            timezone=self.job.timezone,
            wider=self.wider,
            cancelled=self.ctx.cancelled,
        )

    def _window(self, name: str) -> Mark:
        if self.ctx.window is None:
            hint = "runs of a schedule have one; by hand: --from and --to"
            raise SourceError(f"the query has :{name}, and this run is about no window of time", hint=hint)
        return moment(self.ctx.window.since if name == "since" else self.ctx.window.until)


def first_marks(source: SqlSource, cursor: Cursor | None) -> Marks | None:
    """Where to go on; None where `start: now` asks for a position that is not taken yet."""
    stored = from_cursor(cursor, source.cursor)
    if stored is not None:
        return stored
    if isinstance(source.start, str):
        return None if source.start == "now" and source.cursor else dict.fromkeys(source.cursor, LOWEST)
    return {name: written(value) for name, value in source.start.items()}


def legs(
    job: Job, source: SqlSource, ctx: Context, cursor: Cursor | None, seen: Seen = NOTHING
) -> Iterator[tuple[Cursor, Chunk]]:
    """The chunks that a run would give, each with where its reading begins; nothing is stored."""
    marks = first_marks(source, cursor) or dict.fromkeys(source.cursor, LOWEST)
    ask, rows = Ask(job=job, source=source, ctx=ctx, marks=marks, seen=seen), 0
    while True:
        try:
            for chunk in ask.chunks(start_row=rows):
                yield to_cursor(ask.marks), chunk
                rows = 0 if source.cursor else chunk.rows
                marks = from_cursor(chunk.cursor, source.cursor) or marks
        except WiderError as error:
            if all(ask.wider.get(name) == kind for name, kind in error.wider.items()):
                raise
            ask = replace(ask, marks=marks, wider={**ask.wider, **error.wider})
        else:
            return


def position_now(ask: Ask) -> Marks:
    """The values of the last row that is there now.

    The result is walked to its end, from page to page where it has a LIMIT. Where the cursor begins with a
    time, the walk begins now: what was recorded before is not looked at, however much it is.
    """
    columns = ask.source.cursor
    marks: Marks = dict.fromkeys(columns, LOWEST)
    kind = _type(replace(ask, marks=marks), columns[0])
    if pa.types.is_timestamp(kind):
        now = moment(datetime.fromtimestamp(ask.ctx.clock.now(), UTC))
        naive = kind.tz is None
        marks = {**marks, columns[0]: _in_zone(now, ask.question().timezone) if naive else now}
    while (last := _last(replace(ask, marks=marks))) is not None:
        marks = last
        if not ask.question().query.limited:
            break
    return marks


def _in_zone(mark: Mark, zone: str) -> Mark:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - rare

    when = datetime.fromisoformat(mark.text).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return Mark("timestamp", when.isoformat(timespec="microseconds"))


def _type(ask: Ask, column: str) -> pa.DataType:
    with ExitStack() as stack:
        answer = _asked(ask, stack)
        return answer.schema.field(answer.names.index(column)).type


def _last(ask: Ask) -> Marks | None:
    with ExitStack() as stack:
        answer = _asked(ask, stack)
        at = [answer.names.index(name) for name in ask.source.cursor]
        positions = Positions(ask.source.cursor, of=ask.source.connection)
        for batch in answer.batches():
            if ask.ctx.cancelled():
                raise SourceError(f"{ask.source.connection}: reading was cancelled")
            columns = [batch.column(number) for number in at]
            taken = positions.add(columns)
            if taken < batch.num_rows:
                positions.refuse(columns, taken)
            positions.let_go(positions.rows)
        return positions.at(positions.rows) if positions.rows else None


def _asked(ask: Ask, stack: ExitStack) -> Answer:
    feed = QueryFeed(source=ask.source, question=ask.question(), ctx=ask.ctx)
    feed.open(stack, ask.ctx.temp)
    return feed.answer
