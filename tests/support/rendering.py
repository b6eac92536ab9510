"""Jobs over one file in a temporary folder, and what their rendering gives."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path

from agent.clock import SystemClock
from agent.config.model import (
    Batch,
    Constant,
    CsvSource,
    Delivery,
    ExcelSource,
    Expr,
    Files,
    FileSource,
    Job,
    JsonBody,
    JsonSource,
    MapList,
    MapObject,
    NdjsonSource,
    ParquetSource,
    RawBody,
    Schedule,
    Target,
    Template,
    Where,
)
from agent.render import Chunk, Context, SourceFile, render_file
from agent.sources.files import stamp_of

KINDS = {
    "csv": CsvSource,
    "ndjson": NdjsonSource,
    "json": JsonSource,
    "parquet": ParquetSource,
    "excel": ExcelSource,
    "file": FileSource,
}


def where(path="body.map", line=7):
    return Where(file="jobs/j.yaml", line=line, column=9, path=path)


def tree(value, path="body.map"):
    """A map as the YAML would give it: `=…` is an expression."""
    if isinstance(value, dict):
        return MapObject(items=tuple((key, tree(child, f"{path}.{key}")) for key, child in value.items()))
    if isinstance(value, list):
        return MapList(items=tuple(tree(child, f"{path}[{n}]") for n, child in enumerate(value)))
    if isinstance(value, str) and value.startswith("="):
        return Expr(sql=value[1:], where=where(path)) if value[1:2] != "=" else Constant(value=value[1:])
    return Constant(value=value)


def template(*parts, path="target.path"):
    """`/devices/`, `=id` → the template `/devices/{id}`."""
    return Template(
        parts=tuple(Expr(sql=p[1:], where=where(path)) if p.startswith("=") else p for p in parts),
        where=where(path),
    )


def make_job(
    kind,
    path,
    *,
    map=None,  # noqa: A002 - the word of the YAML
    per="batch",
    nulls="keep",
    batch=None,
    timezone="UTC",
    target=None,
    body=None,
    delivery=None,
    **source,
):
    files = Files(paths=(str(path),), settle=timedelta(0))
    body = body or JsonBody(map=None if map is None else tree(map), per=per, nulls=nulls)
    return Job(
        name="j",
        schedules=(Schedule(every=timedelta(minutes=1), timezone=timezone, where=where("schedule")),),
        source=KINDS[kind](files=files, where=where("source", 3), **source),
        body=RawBody(content_type="text/csv") if kind == "file" else body,
        batch=batch or Batch(),
        target=Target(connection="c", where=where("target"), **(target or {})),
        delivery=delivery or Delivery(),
        file="jobs/j.yaml",
        sha256="0",
        where=where(""),
    )


def listed(path: Path) -> SourceFile:
    stamp = stamp_of(path)
    assert stamp is not None
    return SourceFile(path=path, stamp=stamp)


def context(temp: Path, *, cancelled=lambda: False, memory=200_000_000) -> Context:
    return Context(temp=temp, memory=memory, threads=2, clock=SystemClock(), cancelled=cancelled)


def render(job, path, *, start_row=0, memory=200_000_000) -> list[Chunk]:
    spill = path.parent / ".spill"
    spill.mkdir(exist_ok=True)
    return list(render_file(job, listed(path), context(spill, memory=memory), start_row=start_row))


def strict(text):
    """JSON as RFC 8259 has it: no NaN, no Infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def drafts(chunks):
    return [draft for chunk in chunks for draft in chunk.drafts]


def bodies(chunks) -> list[bytes]:
    return [gzip.decompress(draft.body) for draft in drafts(chunks)]


def documents(job, path, **options) -> list:
    """The records of all batches, parsed strictly."""
    return [record for body in bodies(render(job, path, **options)) for record in strict(body)]
