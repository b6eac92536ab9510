"""What a job would send: the exact requests, without network and without state.

Made only of rooms that know neither the spool nor a socket (an import contract holds this), so a
dry run cannot send or store anything.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import (
    BasicAuth,
    BearerAuth,
    Connection,
    CsvSource,
    HeaderAuth,
    Job,
    NdjsonSource,
    NoAuth,
    SqlSource,
    files_of,
    header_of,
    log_of,
)
from agent.errors import SourceError
from agent.keys import key_of, seed_of, seed_of_log, seed_of_query
from agent.message import Cursor, Draft
from agent.render import BadRecord, Chunk, Context, SourceFile, render_feed, render_file
from agent.request import MASK, Request, Route, build, resolve
from agent.sources.files import list_files, sha256_of, stamp_of
from agent.sources.seen import NOTHING, Seen
from agent.stamp import FileStamp


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One request as it would be sent, or one record that would become none."""

    file: Path
    draft: Draft | None = None
    request: Request | None = None
    key: str = ""
    bad: BadRecord | None = None


@dataclass(kw_only=True, slots=True)
class Document:
    """What a source that is asked for documents gave; who shows it says how many records were in it."""

    file: SourceFile
    rows: int = 0


def preview(
    job: Job,
    connection: Connection,
    ctx: Context,
    *,
    sample: Path | None,
    known: Collection[FileStamp],
    documents: Iterable[Document] = (),
    cursor: Cursor | None = None,
    seen: Seen = NOTHING,
) -> Generator[Shown, None, None]:
    """The requests in the order in which they would leave.

    `sample` is read instead of the job's own files; `known` are files that were read already and are
    passed over. `documents` of a source that reads no files: they come from outside, since nothing here
    knows a network. `cursor` is how far a query was read; `seen` what was sent before (`only: {changed_by:
    …}`). Raises SourceError and ConfigError as the daemon would.
    """
    route = resolve(job, connection)
    signature = masked_signature(connection)
    if isinstance(job.source, SqlSource):
        if sample is not None:
            raise SourceError("a query takes no sample file", hint="leave --sample out: the database is read")
        for seed, chunk in _of_query(job, job.source, ctx, cursor, seen):
            yield from _shown(route, signature, Path(job.source.connection), seed, chunk)
        return
    if sample is None and (logs := log_of(job.source)) is not None:
        for path, seed, chunk in _of_logs(job, logs, ctx, cursor):
            yield from _shown(route, signature, path, seed, chunk)
        return
    for document in documents_of(job, ctx, sample, documents):
        file = document.file
        if sample is None and file.stamp in known:
            continue
        seed = seed_of(job.name, file.stamp, sha256_of(file.path), known=seen.seed)
        for chunk in render_file(job, file, ctx, seen=seen):
            document.rows = chunk.rows
            yield from _shown(route, signature, file.path, seed, chunk)


def _shown(
    route: Route, signature: Mapping[str, str], file: Path, seed: str, chunk: Chunk
) -> Iterator[Shown]:
    for draft in chunk.drafts:
        key = key_of(seed, draft.first)
        request = build(route, draft, key=key, signature=signature)
        yield Shown(file=file, draft=draft, request=request, key=key)
    for record in chunk.bad:
        yield Shown(file=file, bad=record)


def _of_query(
    job: Job, source: SqlSource, ctx: Context, cursor: Cursor | None, seen: Seen
) -> Iterator[tuple[str, Chunk]]:
    """Seeds and chunks, as a run would have them; for `start: now`, those of the rows there are."""
    from agent.render.query import legs  # noqa: PLC0415 - Arrow, when a job needs it

    yield from (
        (seed_of_query(job.name, place, again=0), chunk)
        for place, chunk in legs(job, source, ctx, cursor, seen)
    )


def _of_logs(
    job: Job, source: CsvSource | NdjsonSource, ctx: Context, cursor: Cursor | None
) -> Iterator[tuple[Path, str, Chunk]]:
    """Files, seeds and chunks of what was added to the logs, as a run would have them."""
    from agent.render.log_feed import parts  # noqa: PLC0415 - Arrow, when a job needs it

    for feed in parts(source, ctx, cursor):
        part = feed.part
        seed = seed_of_log(job.name, part.mark.number, part.mark.offset, part.sha256)
        for chunk in render_feed(job, part.source, feed, ctx, start_row=part.mark.done):
            yield Path(feed.path), seed, chunk


def masked_signature(connection: Connection) -> Mapping[str, str]:
    """The headers that the session would add, without what they would say."""
    match connection.auth:
        case BearerAuth():
            return {"Authorization": f"Bearer {MASK}"}
        case BasicAuth():
            return {"Authorization": f"Basic {MASK}"}
        case HeaderAuth(name=name):
            return {name: MASK}
        case NoAuth():
            return {}
        case auth:
            return header_of(auth).of(MASK)


def documents_of(
    job: Job, ctx: Context, sample: Path | None, asked: Iterable[Document]
) -> Iterator[Document]:
    """What is read: the sample, the files of the source, or what was asked for outside of here."""
    if sample is None and files_of(job.source) is None:
        yield from asked
    else:
        yield from (Document(file=file) for file in files_to_read(job, ctx, sample))


def files_to_read(job: Job, ctx: Context, sample: Path | None) -> tuple[SourceFile, ...]:
    """The sample, or the files of the job's source. Raises SourceError for a sample that is no file."""
    if sample is None:
        files = files_of(job.source)
        return list_files(files, ctx.clock).files if files is not None else ()
    path = sample.absolute()
    stamp = stamp_of(path)
    if stamp is None:
        raise SourceError(f"{sample} is not a regular file that can be read", hint="give a file with records")
    return (SourceFile(path=path, stamp=stamp),)
