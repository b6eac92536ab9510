"""What a job would send: the exact requests, without network and without state.

Made only of rooms that know neither the spool nor a socket (an import contract holds this), so a
dry run cannot send or store anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import (
    BasicAuth,
    BearerAuth,
    Connection,
    HeaderAuth,
    Job,
    NoAuth,
    files_of,
    header_of,
)
from agent.errors import SourceError
from agent.keys import key_of, seed_of
from agent.message import Draft
from agent.render import BadRecord, Context, SourceFile, render_file
from agent.request import MASK, Request, build, resolve
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


def preview(
    job: Job,
    connection: Connection,
    ctx: Context,
    *,
    sample: Path | None,
    known: Collection[FileStamp],
    seen: Seen = NOTHING,
) -> Iterator[Shown]:
    """The requests in the order in which they would leave.

    `sample` is read instead of the job's own files; `known` are files that were read already and are
    passed over; `seen` is what was sent before (`only: {changed_by: …}`). Raises SourceError and ConfigError
    as the daemon would.
    """
    route = resolve(job, connection)
    signature = masked_signature(connection)
    for file in _files(job, ctx, sample):
        if sample is None and file.stamp in known:
            continue
        seed = seed_of(job.name, file.stamp, sha256_of(file.path), known=seen.seed)
        for chunk in render_file(job, file, ctx, seen=seen):
            for draft in chunk.drafts:
                key = key_of(seed, draft.first)
                request = build(route, draft, key=key, signature=signature)
                yield Shown(file=file.path, draft=draft, request=request, key=key)
            for record in chunk.bad:
                yield Shown(file=file.path, bad=record)


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


def _files(job: Job, ctx: Context, sample: Path | None) -> tuple[SourceFile, ...]:
    if sample is None:
        files = files_of(job.source)
        return list_files(files, ctx.clock).files if files is not None else ()
    path = sample.absolute()
    stamp = stamp_of(path)
    if stamp is None:
        raise SourceError(f"{sample} is not a regular file that can be read", hint="give a file with records")
    return (SourceFile(path=path, stamp=stamp),)
