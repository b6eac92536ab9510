"""Sources that are read record by record: DuckDB computes texts, Arrow carries them, `bodies` cuts them."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from pyarrow.lib import ArrowException

from agent.config.model import Job, RawBody, RecordSource
from agent.errors import SourceError
from agent.render.ahead import ahead
from agent.render.changed import changed_of
from agent.render.feed import Feed
from agent.render.groups import Groups
from agent.render.pack import Packer
from agent.render.reading import Reading, open_feed
from agent.render.values import Chunk, Context, UnfitError
from agent.sources import duck, faults
from agent.sources.kept import within
from agent.sources.seen import Seen

if TYPE_CHECKING:
    import pyarrow as pa

AHEAD = 4
"""Arrow batches that wait for the cutter at most."""


def records(
    job: Job, source: RecordSource, feed: Feed, ctx: Context, *, start_row: int, seen: Seen
) -> Iterator[Chunk]:
    """See `render_feed`."""
    assert not isinstance(job.body, RawBody), "the schema lets raw bodies stand with whole files only"
    with ExitStack() as stack:
        temp = stack.enter_context(_folder(ctx))
        found = feed.open(stack, temp)
        if ctx.kept is not None:
            found = within(found, temp)
            feed.recheck()  # what was copied is what was opened
        try:
            reading = open_feed(job, source, feed, found, ctx, stack, temp, start_row=start_row)
        except UnfitError:
            feed.recheck()  # of a file that is not there any more, DuckDB says that it may not be read
            raise
        except duckdb.Error as error:
            _go_on(feed, ctx)
            feed.recheck()
            raise faults.translated(error, found) from error
        # what is told by a key is compared as a whole: no chunk of it says how far the source was read
        positions = feed.positions if reading.keyed is None else None
        pack = Packer(
            job=job,
            body=job.body,
            reading=reading,
            start_row=start_row,
            thorough=ctx.thorough,
            positions=positions,
            fit=ctx.fit,
        )
        whole = Groups(pack, positions) if positions is not None else pack
        try:
            tables = stack.enter_context(closing(_stream(reading, feed, ctx)))
            changed = changed_of(job, source, seen, ctx, reading, stack, start_row, feed)
            if changed is not None:
                yield from changed.through(tables, pack)
            else:
                for table in tables:
                    yield from whole.take(table)
            rejected = faults.rejected(reading.scan, reading.file) if reading.relation.rejects else []
            pack.reject(rejected)
            yield from changed.rest(pack, blind=bool(rejected)) if changed is not None else whole.end()
        except (duckdb.Error, OSError, ArrowException) as error:
            if isinstance(whole, Groups):
                yield from whole.so_far()
            _go_on(feed, ctx)
            feed.recheck()
            raise _explained(feed, reading, error) from error
        if feed.once:  # what came before an error is given away first
            feed.recheck()


@contextmanager
def _folder(ctx: Context) -> Iterator[Path]:
    """A folder for this reading alone: what lies in DuckDB's temporary folder can be reached from SQL."""
    if ctx.kept is None:
        with tempfile.TemporaryDirectory(dir=ctx.temp, prefix="render-") as temp:
            yield Path(temp)
    else:
        with ctx.kept.folder() as folder:
            yield folder


def _explained(feed: Feed, reading: Reading, error: Exception) -> Exception:
    if feed.once:
        return faults.translated(error, reading.file)
    return faults.of_record(reading.careful(), error, reading.file, reading.relation, reading.query)


def _stream(reading: Reading, feed: Feed, ctx: Context) -> Generator[pa.RecordBatch, None, None]:
    tables = duck.query(reading.con, reading.query.stream).to_arrow_reader(reading.rows)
    # DuckDB computes the next texts while this thread cuts and gzips: both release the GIL
    with closing(ahead(tables, AHEAD, stop=reading.con.interrupt)) as computed:
        for table in computed:
            _go_on(feed, ctx)
            yield table


def _go_on(feed: Feed, ctx: Context) -> None:
    """Raises SourceError when the reading is to end; the feed is as good as before."""
    if ctx.cancelled():
        raise SourceError(f"{feed.name}: reading was cancelled")
