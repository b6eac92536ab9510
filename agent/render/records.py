"""Sources that are read record by record: DuckDB computes texts, Arrow carries them, `bodies` cuts them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from pyarrow.lib import ArrowException

from agent.bodies import Cut, Cutter, TooLarge, gzipped
from agent.config.model import Job, JsonBody, RecordSource
from agent.errors import RecordError, SourceError
from agent.message import Draft
from agent.render.ahead import ahead
from agent.render.feed import Feed
from agent.render.groups import Groups, place
from agent.render.interrupt import interrupted_when
from agent.render.values import BadRecord, Chunk, Context, Reading, UnfitError
from agent.sources import duck, expressions, faults, mark
from agent.sources.expressions import wrong_types
from agent.sources.query import Query, Wanted, build, parsed
from agent.sources.relation import Opened

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from agent.sources.positions import Positions

ROWS = 4096
"""Rows that DuckDB hands over at once: two of its vectors, a few MB."""
AHEAD = 4
"""Arrow batches that wait for the cutter at most."""
CHUNK_BATCHES = 50
CHUNK_RECORDS = 1000
"""Drafts in a chunk, `per: batch` and `per: record`."""
LINES_TOLD = 20
"""Bad records of a chunk that are told their line."""
CHUNK_BYTES = 8_000_000
"""Bytes of bodies, before gzip, after which a chunk is given away."""


def records(job: Job, source: RecordSource, feed: Feed, ctx: Context, *, start_row: int) -> Iterator[Chunk]:
    """See `render_feed`."""
    assert isinstance(job.body, JsonBody), "the schema lets raw bodies stand with whole files only"
    with ExitStack() as stack:
        # its own folder: what lies in DuckDB's temporary folder can be reached from SQL
        temp = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ctx.temp, prefix="render-")))
        found = feed.open(stack, temp)
        try:
            reading = open_feed(job, source, feed, found, ctx, stack, temp, start_row=start_row)
        except duckdb.Error as error:
            _go_on(feed, ctx)
            feed.recheck()
            raise faults.translated(error, found) from error
        pack = Packer(job=job, body=job.body, reading=reading, start_row=start_row, positions=feed.positions)
        whole = Groups(pack, feed.positions) if feed.positions is not None else pack
        try:
            for table in _stream(reading, feed, ctx):
                yield from whole.take(table)
            if reading.relation.rejects:
                pack.reject(faults.rejected(reading.con))
        except (duckdb.Error, OSError, ArrowException) as error:
            if isinstance(whole, Groups):
                yield from whole.so_far()
            _go_on(feed, ctx)
            feed.recheck()
            raise _explained(feed, reading, error) from error
        yield from whole.end()
        if feed.once:  # what came before an error is given away first
            feed.recheck()


def _explained(feed: Feed, reading: Reading, error: Exception) -> Exception:
    if feed.once:
        return faults.translated(error, reading.file)
    return faults.of_record(reading.careful(), error, reading.file, reading.relation, reading.query)


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
    assert isinstance(job.body, JsonBody)
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
    wanted = Wanted(body=job.body, target=job.target, dead_letter=explained)
    leaves, fillings, problems = parsed(con, wanted)
    if not problems:
        uses = expressions.uses(leaves, fillings, record=job.body.map is None)
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


def _stream(reading: Reading, feed: Feed, ctx: Context) -> Iterator[pa.RecordBatch]:
    tables = duck.query(reading.con, reading.query.stream).to_arrow_reader(ROWS)
    # DuckDB computes the next texts while this thread cuts and gzips: both release the GIL
    with closing(ahead(tables, AHEAD, stop=reading.con.interrupt)) as computed:
        for table in computed:
            _go_on(feed, ctx)
            yield table


def _go_on(feed: Feed, ctx: Context) -> None:
    """Raises SourceError when the reading is to end; the feed is as good as before."""
    if ctx.cancelled():
        raise SourceError(f"{feed.name}: reading was cancelled")


@dataclass(kw_only=True)
class Packer:
    """Makes drafts of Arrow batches, and chunks of drafts."""

    job: Job
    body: JsonBody
    reading: Reading
    start_row: int
    positions: Positions | None = None
    """Where rows stand, for sources with a cursor: a chunk then ends where it may (see `groups`)."""
    row: int = field(init=False)
    """The last row taken, from the start of the file."""
    done: int = field(init=False)
    """The last row that is in a chunk, as a draft or as a bad record."""
    drafts: list[Draft] = field(default_factory=list)
    bad: list[tuple[int, BadRecord]] = field(default_factory=list)
    size: int = 0
    due: bool = False
    """Whether there is enough for a chunk."""
    given: int = 0
    """The last row of the last chunk."""

    def __post_init__(self) -> None:
        self.row = self.done = self.given = self.start_row
        self.cutter = Cutter(records=self.job.batch.records, size=self.job.batch.bytes)

    def take(self, table: pa.RecordBatch) -> Iterator[Chunk]:
        """The drafts of an Arrow batch. Raises RecordError for a record too large for any batch."""
        texts = table.column("body")
        rows: Sequence[int] = range(self.row + 1, self.row + 1 + table.num_rows)
        self.row += table.num_rows
        if texts.null_count:
            good = texts.is_valid().to_pylist()
            self._refuse(table, [number for number, fine in enumerate(good) if not fine], rows)
            rows = [row for row, fine in zip(rows, good, strict=True) if fine]
            table = table.filter(texts.is_valid())
            texts = table.column("body")
        if self.body.per == "record":
            yield from self._each(table, rows)
        else:
            yield from self._cut(self.cutter.feed(texts, rows))

    def _refuse(self, table: pa.RecordBatch, which: list[int], rows: Sequence[int]) -> None:
        refused = table.select(["why", "shown"]).take(which).to_pylist()
        for number, found in zip(which, refused, strict=True):
            row = rows[number]
            reason = found["why"] or "the map cannot be computed for this record"
            if not self.reading.dead_letter:
                where = place(self.reading, self.positions, row)
                raise RecordError(
                    f"{where}: {reason}", hint=f"the record: {faults.short(found['shown'] or '')}"
                )
            # a line costs reading the file again up to it: only the first bad rows are told theirs
            line = self.reading.relation.line_of(row) if len(self.bad) < LINES_TOLD else None
            self.bad.append((row, BadRecord(line=line, text=found["shown"] or "", reason=reason)))

    def _cut(self, cuts: Iterator[Cut | TooLarge]) -> Iterator[Chunk]:
        for cut in cuts:
            if isinstance(cut, TooLarge):
                self._too_large(cut)
                continue
            body = Draft(
                body=gzipped(cut.body),
                size=len(cut.body),
                records=cut.records,
                content_type=self.body.content_type,
                origin=f"{self.reading.file.name} rows {cut.first}-{cut.last}",
                first=cut.first,
            )
            yield from self._put(body, cut.last, CHUNK_BATCHES)

    def _too_large(self, cut: TooLarge) -> None:
        where = place(self.reading, self.positions, cut.row)
        said = f"{cut.size} bytes: larger than batch.bytes ({self.job.batch.bytes})"
        if not self.reading.dead_letter:
            raise RecordError(
                f"{where}: {said}", hint="raise `batch.bytes`, or set `on_bad_row: dead_letter`"
            )
        line = self.reading.relation.line_of(cut.row)
        self.bad.append((cut.row, BadRecord(line=line, text=cut.text, reason=said)))

    def _each(self, table: pa.RecordBatch, rows: Sequence[int]) -> Iterator[Chunk]:
        names = self.reading.query.headers
        texts = table.column("body").to_pylist()
        paths = table.column("path").to_pylist() if "path" in table.schema.names else [None] * len(texts)
        values = [table.column(f"h{number}").to_pylist() for number in range(len(names))]
        for number, (row, text, path) in enumerate(zip(rows, texts, paths, strict=True)):
            plain = text.encode()
            draft = Draft(
                body=gzipped(plain),
                size=len(plain),
                records=1,
                content_type=self.body.content_type,
                path=path,
                headers={name: value[number] for name, value in zip(names, values, strict=True)},
                origin=f"{self.reading.file.name} row {row}",
                first=row,
            )
            yield from self._put(draft, row, CHUNK_RECORDS)

    def _put(self, draft: Draft, last: int, most: int) -> Iterator[Chunk]:
        self.drafts.append(draft)
        self.size += draft.size
        self.done = last
        self.due = len(self.drafts) >= most or self.size >= CHUNK_BYTES
        if self.due and self._may_end(last):
            yield self._chunk()

    def _may_end(self, row: int) -> bool:
        """Whether a chunk may end behind this row: not between rows with equal values of the cursor."""
        return self.positions is None or self.positions.is_end(row)

    def settled(self) -> Iterator[Chunk]:
        """The drafts there are, if a chunk may end behind them."""
        if self.drafts and self._may_end(self.done):
            yield self._chunk()

    def flush(self) -> Iterator[Chunk]:
        """What was taken so far, to its last row."""
        yield from self._cut(iter(self.cutter.rest()))
        if self.row > self.given:
            self.done = self.row
            yield self._chunk()

    def _chunk(self) -> Chunk:
        """What is done. A bad record behind the last draft waits: going on from here meets it again."""
        bad = tuple(record for row, record in self.bad if row <= self.done)
        self.bad = [(row, record) for row, record in self.bad if row > self.done]
        cursor = None
        if self.positions is not None:
            cursor = mark.to_cursor(self.positions.at(self.done))
            self.positions.let_go(self.done)
        chunk = Chunk(drafts=tuple(self.drafts), rows=self.done, bad=bad, cursor=cursor)
        self.drafts, self.size, self.due, self.given = [], 0, False, self.done
        return chunk

    def reject(self, found: list[tuple[int, str, str]]) -> None:
        """Rows that DuckDB could not split: known only at the end, so they go into the last chunk."""
        self.bad += [(self.row, BadRecord(line=line, text=text, reason=why)) for line, text, why in found]

    def end(self) -> Iterator[Chunk]:
        """The last chunk, unless there is nothing in it."""
        yield from self._cut(iter(self.cutter.rest()))
        self.done = self.row
        if self.drafts or self.bad:
            yield self._chunk()
