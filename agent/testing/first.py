"""The first records of a job's source, or of a sample: what a test can be made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import Job, SqlSource, reading_of
from agent.errors import SourceError
from agent.message import Cursor, JsonValue
from agent.preview import Document, documents_of
from agent.render import Context
from agent.stamp import FileStamp


@dataclass(frozen=True, kw_only=True, slots=True)
class First:
    """What is given, and a name for the test."""

    given: list[dict[str, JsonValue]] | Path
    name: str


def first_given(
    job: Job,
    ctx: Context,
    *,
    sample: Path | None,
    known: Collection[FileStamp],
    documents: Iterable[Document] = (),
    cursor: Cursor | None = None,
    count: int,
) -> First | None:
    """Of what a run would read next; None where there is nothing. As `preview`. Raises SourceError."""
    if isinstance(job.source, SqlSource):
        from agent.render.first import first_of_query  # noqa: PLC0415 - whole-file jobs never load DuckDB

        if sample is not None:
            raise SourceError("a query takes no sample file", hint="leave --sample out: the database is read")
        rows = first_of_query(job, job.source, ctx, cursor, count)
        return First(given=rows, name=f"the first {len(rows)} of {job.source.connection}")
    for document in documents_of(job, ctx, sample, documents):
        file = document.file
        if sample is None and file.stamp in known:
            continue
        name = file.path.name
        reading = reading_of(job.source)
        if reading is None:
            return First(given=file.path, name=f"the file {name}")
        from agent.render.first import first_of  # noqa: PLC0415 - whole-file jobs never load DuckDB

        rows = first_of(job, reading, file, ctx, count)
        return First(given=rows, name=f"the first {len(rows)} of {name}")
    return None
