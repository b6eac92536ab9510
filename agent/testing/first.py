"""The first records of a job's source, or of a sample: what a test can be made of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import Job, reading_of
from agent.message import JsonValue
from agent.preview import files_to_read
from agent.render import Context
from agent.stamp import FileStamp


@dataclass(frozen=True, kw_only=True, slots=True)
class First:
    """What is given, and a name for the test."""

    given: list[dict[str, JsonValue]] | Path
    name: str


def first_given(
    job: Job, ctx: Context, *, sample: Path | None, known: Collection[FileStamp], count: int
) -> First | None:
    """Of the first file that was not read yet; None where there is none. Raises SourceError."""
    for file in files_to_read(job, ctx, sample):
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
