"""From a source to drafts: bodies ready to be spooled or shown. Knows neither spool nor network.

`render_file` and `render_feed` are generators for a worker thread: they read once, in order, in flat
memory, and give chunks that are each worth one transaction. `start_row` goes on where an interrupted run
stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

from agent.bodies import Gzip
from agent.config.model import FileSource, Job, RecordSource, reading_of
from agent.message import Draft
from agent.render.values import BadRecord, Chunk, Context
from agent.sources import libraries
from agent.sources.file import whole
from agent.sources.files import SourceFile, opened
from agent.sources.kept import SMALL
from agent.sources.seen import NOTHING, Seen

if TYPE_CHECKING:
    from agent.render.feed import Feed

__all__ = ["BadRecord", "Chunk", "Context", "Seen", "SourceFile", "render_feed", "render_file"]


def render_file(
    job: Job, file: SourceFile, ctx: Context, *, start_row: int = 0, seen: Seen = NOTHING
) -> Iterator[Chunk]:
    """Read a file and give its drafts in order. `seen`: what was sent before (`only: {changed_by: …}`).

    Raises RecordError when a record is bad and the job says `on_bad_row: fail`; SourceError when the file
    cannot be read, changed since it was listed or while it was read, or does not hold what the job says.
    Both name the file, and the line and column where there is one.
    """
    if isinstance(job.source, FileSource):
        yield from _whole(job, job.source, file, start_row)
        return
    libraries.load()  # only jobs that read records pay for them
    from agent.render.feed import file_feed  # noqa: PLC0415

    reading = reading_of(job.source)
    assert reading is not None
    if ctx.kept is not None and file.stamp.size > SMALL:
        ctx.kept.close()  # all of the memory is for this one
        ctx = replace(ctx, kept=None)
    yield from render_feed(
        job, reading, file_feed(reading, file, ctx.cancelled), ctx, start_row=start_row, seen=seen
    )


def render_feed(
    job: Job,
    source: RecordSource,
    feed: Feed,
    ctx: Context,
    *,
    start_row: int = 0,
    seen: Seen = NOTHING,
) -> Iterator[Chunk]:
    """Read a feed and give its drafts in order. Raises as `render_file` does."""
    libraries.load()
    from agent.render.records import records  # noqa: PLC0415

    yield from records(job, source, feed, ctx, start_row=start_row, seen=seen)


def _whole(job: Job, source: FileSource, file: SourceFile, start_row: int) -> Iterator[Chunk]:
    with opened(file) as descriptor:
        gzip = Gzip()
        for piece in whole(descriptor, source, path=str(file.path)):
            gzip.add(piece)
    if start_row:  # its one draft was spooled already
        return
    draft = Draft(
        body=gzip.finish(),
        size=gzip.size,
        records=1,
        content_type=job.body.content_type,
        origin=file.path.name,
        lane=crc32(str(file.path).encode(errors="surrogateescape")) % job.delivery.order.layout.lanes,
    )
    yield Chunk(drafts=(draft,), rows=1)
