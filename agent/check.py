"""Whether a job fits its source: expressions are parsed, and bound to a file's columns if there is one."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.model import (
    FileSource,
    Job,
    JsonBody,
    NdjsonBody,
    RawBody,
    RecordBody,
    RecordSource,
    files_of,
    log_of,
    reading_of,
)
from agent.errors import Problem, SourceError
from agent.render.values import Context, UnfitError
from agent.sources import libraries
from agent.sources.file import whole
from agent.sources.files import SourceFile, list_files, opened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from agent.mapping import SqlType


_NUMBER = frozenset({"number", "integer"})
_JSON_TYPES = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint", "hugeint"), _NUMBER),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"), _NUMBER),
    **dict.fromkeys(("decimal", "double", "float"), _NUMBER),
    **dict.fromkeys(
        ("varchar", "timestamp", "timestamp with time zone", "date", "time", "uuid", "blob"),
        frozenset({"string"}),
    ),
    **dict.fromkeys(("struct", "map"), frozenset({"object"})),
    **dict.fromkeys(("list", "array"), frozenset({"array"})),
    "boolean": frozenset({"boolean"}),
}
"""What a DuckDB type becomes in JSON. Of all others nothing is said."""


def check_job(job: Job, ctx: Context) -> list[Problem]:
    """All that is wrong with the expressions of a job, at their lines in the YAML.

    With a file there, the newest settled one is opened: a missing column or a wrong type is found. Without
    one, only syntax can be. What is wrong with the file itself is a warning: the next file may be good,
    and a job that were rejected for it would neither send that one nor set this one aside.
    """
    files = files_of(job.source)
    listed = list_files(files, ctx.clock).files if files is not None else ()
    newest = max(listed, key=lambda file: file.stamp.mtime_ns, default=None)
    if isinstance(job.source, FileSource):
        return _whole(job, job.source, newest) if newest is not None else []
    if isinstance(job.body, RawBody):
        return []
    source = reading_of(job.source)
    assert source is not None
    problems = _syntax(job, source, job.body, ctx)
    return problems or (_against(job, source, newest, ctx) if newest is not None else [])


def _whole(job: Job, source: FileSource, file: SourceFile) -> list[Problem]:
    try:
        with opened(file) as descriptor:
            next(whole(descriptor, source, path=str(file.path)), None)
    except SourceError as error:
        return [_of_file(job, error)]
    return []


def _syntax(job: Job, source: RecordSource, body: RecordBody, ctx: Context) -> list[Problem]:
    libraries.load()
    from agent.sources import duck  # noqa: PLC0415 - whole-file jobs never load DuckDB
    from agent.sources.expressions import wrong_types  # noqa: PLC0415

    con = duck.connect(file="/dev/null", temp=ctx.temp, memory=ctx.memory, threads=1, timezone="UTC")
    try:
        return wrong_types(con, job.file, source) + _parsed(con, job, source, body)
    finally:
        con.close()


def _parsed(con: DuckDBPyConnection, job: Job, source: RecordSource, body: RecordBody) -> list[Problem]:
    from agent.sources.query import Wanted, parsed  # noqa: PLC0415

    dead_letter = source.on_bad_row == "dead_letter"
    wanted = Wanted(
        body=body,
        target=job.target,
        dead_letter=dead_letter,
        delivery=job.delivery,
        keys=job.receipt_keys,
    )
    return parsed(con, wanted)[2]


def _against(job: Job, source: RecordSource, file: SourceFile, ctx: Context) -> list[Problem]:
    libraries.load()
    import duckdb  # noqa: PLC0415

    from agent.render.feed import file_feed  # noqa: PLC0415
    from agent.render.log_feed import first_of_log  # noqa: PLC0415
    from agent.render.reading import open_feed  # noqa: PLC0415
    from agent.sources import faults  # noqa: PLC0415
    from agent.sources.relation import Opened  # noqa: PLC0415

    try:
        with ExitStack() as stack:
            temp = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=ctx.temp, prefix="render-")))
            logs = log_of(source)
            feed = file_feed(source, file, ctx.cancelled) if logs is None else first_of_log(logs, file, temp)
            if feed is None:
                return []
            found = feed.open(stack, temp)
            reading = open_feed(job, source, feed, found, ctx, stack, temp, start_row=0)
            return _contract(job, reading.query.types)
    except UnfitError as unfit:
        return list(unfit.problems)
    except SourceError as error:
        return [_of_file(job, error)]
    except duckdb.Error as error:
        path = str(file.path)
        said = faults.translated(error, Opened(path=path, reading=path, gzipped=False))
        return [_of_file(job, said)] if isinstance(said, SourceError) else []


def _contract(job: Job, types: Mapping[str, SqlType]) -> list[Problem]:
    """Expressions whose types the schema does not take; the rest of the map was checked with the config."""
    from agent.config.contract_map import misfits  # noqa: PLC0415 - for few jobs

    body = job.body
    if not isinstance(body, JsonBody | NdjsonBody) or body.contract is None or body.map is None:
        return []
    kinds = {sql: _JSON_TYPES.get(type_.kind, frozenset()) for sql, type_ in types.items()}
    found = misfits(body.contract, body.map, drop=body.nulls == "drop", types=kinds)
    return [
        Problem(
            file=one.expr.where.file,
            line=one.expr.where.line,
            column=one.expr.where.column,
            path=one.expr.where.path,
            message=one.message,
            hint=one.hint,
        )
        for one in found
        if one.expr is not None
    ]


def _of_file(job: Job, error: SourceError) -> Problem:
    """What is wrong with a file, told where the job names it."""
    where = job.source.where
    return Problem(
        file=job.file,
        line=where.line,
        column=where.column,
        path="source",
        message=error.message,
        hint=error.hint,
        severity="warning",
    )
