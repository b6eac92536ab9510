"""Sources that are read record by record: DuckDB computes texts, Arrow carries them, `bodies` cuts them."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from pyarrow.lib import ArrowException

from agent.bodies import Cut, Cutter, TooLarge, gzipped
from agent.config.model import Job, JsonBody, RecordSource
from agent.errors import RecordError, SourceError
from agent.message import Draft
from agent.render.ahead import ahead
from agent.render.changed import changed_of
from agent.render.feed import Feed
from agent.render.reading import Reading, open_feed
from agent.render.values import BadRecord, Chunk, Context
from agent.sources import duck, faults
from agent.sources.seen import Seen

if TYPE_CHECKING:
    import pyarrow as pa

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


def records(
    job: Job, source: RecordSource, feed: Feed, ctx: Context, *, start_row: int, seen: Seen
) -> Iterator[Chunk]:
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
        pack = Packer(job=job, body=job.body, reading=reading, start_row=start_row)
        try:
            tables = stack.enter_context(closing(_stream(reading, feed, ctx)))
            changed = changed_of(job, source, seen, ctx, reading, stack, start_row)
            if changed is not None:
                yield from changed.through(tables, pack)
            else:
                for table in tables:
                    yield from pack.take(table)
            rejected = faults.rejected(reading.con) if reading.relation.rejects else []
            pack.reject(rejected)
            yield from changed.rest(pack, blind=bool(rejected)) if changed is not None else pack.end()
        except (duckdb.Error, OSError, ArrowException) as error:
            _go_on(feed, ctx)
            feed.recheck()
            raise _explained(feed, reading, error) from error


def _explained(feed: Feed, reading: Reading, error: Exception) -> Exception:
    if feed.once:
        return faults.translated(error, reading.file)
    return faults.of_record(reading.careful(), error, reading.file, reading.relation, reading.query)


def _stream(reading: Reading, feed: Feed, ctx: Context) -> Generator[pa.RecordBatch, None, None]:
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
    row: int = field(init=False)
    """The last row taken, from the start of the file."""
    done: int = field(init=False)
    """The last row that is in a chunk, as a draft or as a bad record."""
    drafts: list[Draft] = field(default_factory=list)
    bad: list[tuple[int, BadRecord]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    """Rows that are larger than any batch."""
    size: int = 0

    def __post_init__(self) -> None:
        self.row = self.done = self.start_row
        self.cutter = Cutter(records=self.job.batch.records, size=self.job.batch.bytes)

    def take(self, table: pa.RecordBatch, rows: Sequence[int] | None = None) -> Iterator[Chunk]:
        """The drafts of an Arrow batch. Raises RecordError for a record too large for any batch.

        `rows`: their numbers; None: those that follow the last one.
        """
        texts = table.column("body")
        if rows is None:
            rows = range(self.row + 1, self.row + 1 + table.num_rows)
        if rows:
            self.row = rows[-1]
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
            if not self.reading.dead_letter:
                where = faults.place(self.reading.file, self.reading.relation, row)
                raise RecordError(
                    f"{where}: {found['why']}", hint=f"the record: {faults.short(found['shown'] or '')}"
                )
            # a line costs reading the file again up to it: only the first bad rows are told theirs
            line = self.reading.relation.line_of(row) if len(self.bad) < LINES_TOLD else None
            reason = found["why"] or "the map cannot be computed for this record"
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
        where = faults.place(self.reading.file, self.reading.relation, cut.row)
        said = f"{cut.size} bytes: larger than batch.bytes ({self.job.batch.bytes})"
        if not self.reading.dead_letter:
            raise RecordError(
                f"{where}: {said}", hint="raise `batch.bytes`, or set `on_bad_row: dead_letter`"
            )
        self.refused.append(cut.row)
        self.put_aside(cut.row, cut.text, said)

    def put_aside(self, row: int, text: str, reason: str) -> None:
        """A record that is not sent, and why."""
        line = self.reading.relation.line_of(row) if len(self.bad) < LINES_TOLD else None
        self.bad.append((row, BadRecord(line=line, text=text, reason=reason)))

    def follow(self, reading: Reading, body: JsonBody, row: int) -> Packer:
        """The packer of what comes behind row `row`, of another query."""
        return Packer(job=self.job, body=body, reading=reading, start_row=row)

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
        if len(self.drafts) >= most or self.size >= CHUNK_BYTES:
            yield self._chunk()

    def _chunk(self) -> Chunk:
        """What is done. A bad record behind the last draft waits: going on from here meets it again."""
        bad = tuple(record for row, record in self.bad if row <= self.done)
        self.bad = [(row, record) for row, record in self.bad if row > self.done]
        chunk = Chunk(drafts=tuple(self.drafts), rows=self.done, bad=bad)
        self.drafts, self.size = [], 0
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
