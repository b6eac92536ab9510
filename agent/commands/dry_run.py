"""`push-agent dry-run`: the exact requests of a job, shown and not sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.dry_world import World, cursor_of, find, known_files, seen_of, window_of
from agent.commands.options import config_option, output_option, print_json, state_option
from agent.commands.screen import bad, note, size
from agent.errors import SourceError
from agent.phrases import counted

if TYPE_CHECKING:
    from agent.config.model import Job
    from agent.message import Cursor
    from agent.preview import Document, Shown
    from agent.render import Context
    from agent.sources.seen import Seen
    from agent.stamp import FileStamp

BODY_SHOWN = 2_000


@click.command(
    "dry-run",
    epilog="""\b
Examples:
  push-agent dry-run gps-positions                   the next requests
  push-agent dry-run gps-positions --sample one.csv  of a file of yours
  push-agent dry-run gps-positions --curl            as curl commands
  push-agent dry-run gps-positions --limit 1 --output json
  push-agent dry-run gps-positions --as-test         a test of its first records, to paste
""",
)
@click.argument("job")
@config_option
@state_option
@output_option
@click.option(
    "--sample", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Read this file."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="At most so many requests; with --as-test, records.",
)
@click.option("--all", "everything", is_flag=True, help="Also what was read or sent already.")
@click.option("--curl", is_flag=True, help="As curl commands.")
@click.option("--as-test", is_flag=True, help="As a test to paste into the job's file; it passes as it is.")
def command(  # noqa: PLR0917 - one for each option
    job: str,
    config: Path,
    state: Path | None,
    output: str,
    sample: Path | None,
    limit: int,
    *,
    everything: bool,
    curl: bool,
    as_test: bool,
) -> int:
    """Show the exact requests of JOB: method, URL, headers (secrets masked), body, sizes and key.

    Nothing is sent and no state is written. The requests are those of the source's files that were not
    read yet, or of a --sample file. A source of type http or command is read as a run would, from where the
    last one ended.
    """
    world = find(config, job)
    folder = state or world.plan.settings.state
    known = set() if everything or sample else known_files(folder, job)
    cursor = None if everything else cursor_of(folder, world.job)
    with world.context(window_of(folder, world.job)) as context, _asked(world, context, cursor) as asked:
        seen = None if everything else seen_of(folder, world.job)
        read = _Read(sample=sample, known=known, asked=asked, cursor=cursor, seen=seen)
        if as_test:
            return _write_test(world, context, read, limit=limit)
        with closing(_previewed(world, context, read)) as requests:
            shown = list(islice(requests, limit))
    if output == "json":
        print_json([_as_json(one) for one in shown])
    elif not shown:
        click.echo(_nothing(world.job, known))
    else:
        texts = [_as_curl(one) if curl else _as_text(one, number) for number, one in enumerate(shown, 1)]
        click.echo("\n\n".join(texts))
        if len(shown) == limit and not curl:
            click.echo(f"\n(the first {limit}; more with --limit N)", err=True)
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What is read for it."""

    sample: Path | None
    known: set[FileStamp]
    asked: Iterator[Document]
    cursor: Cursor | None
    seen: Seen | None
    """What was sent before; None: as if nothing was."""


@contextmanager
def _asked(world: World, context: Context, cursor: Cursor | None) -> Iterator[Iterator[Document]]:
    """The documents of a source that is asked for them; nobody is asked before the first is wanted."""
    from agent.commands.asking import documents  # noqa: PLC0415

    asked = documents(
        world.job,
        world.plan.connections,
        context,
        config=world.config,
        allowed=world.plan.settings.commands_allow,
        cursor=cursor,
    )
    with closing(asked):
        yield asked


def _previewed(world: World, context: Context, read: _Read) -> Generator[Shown, None, None]:
    from agent.preview import preview  # noqa: PLC0415
    from agent.sources.seen import NOTHING  # noqa: PLC0415

    return preview(
        world.job,
        world.connection,
        context,
        sample=read.sample,
        known=read.known,
        documents=read.asked,
        cursor=read.cursor,
        seen=read.seen or NOTHING,
    )


def _write_test(world: World, context: Context, read: _Read, *, limit: int) -> int:
    from agent.testing.first import first_given  # noqa: PLC0415 - beside its use
    from agent.testing.writing import write_test  # noqa: PLC0415

    job = world.job
    given = first_given(
        job,
        context,
        sample=read.sample,
        known=read.known,
        documents=read.asked,
        cursor=read.cursor,
        count=limit,
    )
    if given is None or not given.given:
        raise SourceError(_nothing(job, read.known))
    text = write_test(job, world.connection, given.given, context, name=given.name)
    click.echo(f"# paste into {job.file}; where it has `tests:` already, without the first line")
    click.echo(text, nl=False)
    return 0


def _nothing(job: Job, known: set[FileStamp]) -> str:
    from agent.config.model import files_of  # noqa: PLC0415

    files = files_of(job.source)
    if files is None:
        return "nothing to send: the source gave no record"
    paths = ", ".join(files.paths)
    if known:
        return f"nothing to send: every file of {paths} was read already (--all shows them again)"
    return f"nothing to send: no settled file matches {paths} (--sample FILE shows one of yours)"


def _plain(one: Shown) -> bytes:
    assert one.draft is not None
    return gzip.decompress(one.draft.body)


def _body_text(one: Shown) -> str:
    body = _plain(one)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f"({size(len(body))} that are no text)"
    text = text.replace("\r\n", "\n")  # the line breaks of CSV
    rest = len(text) - BODY_SHOWN
    text = "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in text[:BODY_SHOWN])
    return f"{text}\n… {rest:,} more characters (--output json shows all)" if rest > 0 else text.rstrip("\n")


def _as_text(one: Shown, number: int) -> str:
    from agent.request import masked  # noqa: PLC0415

    if one.bad is not None:
        place = f"{one.file.name}:{one.bad.line}" if one.bad.line else one.file.name
        return bad(f"record of {place} becomes a dead letter: ") + one.bad.reason
    assert one.request is not None
    assert one.draft is not None
    packed = size(len(one.draft.body))
    how = f"sent gzipped: {packed}" if one.request.gzip else f"{packed} gzipped in the spool"
    facts = f"request {number}: {counted(one.draft.records, 'record')}, {size(one.draft.size)} ({how})"
    headers = masked(one.request.headers, secret=one.request.secret_headers)
    return "\n".join(
        [
            note(f"# {facts}, from {one.draft.origin}"),
            click.style(f"{one.request.method} {one.request.url}", bold=True),
            *[f"{name}: {value}" for name, value in headers.items()],
            "",
            _body_text(one),
        ]
    )


def _as_curl(one: Shown) -> str:
    from agent.request import as_curl  # noqa: PLC0415

    if one.request is None:
        return _as_text(one, 0)
    try:
        return as_curl(one.request, text=_plain(one).decode())
    except UnicodeDecodeError:
        return as_curl(one.request)


def _as_json(one: Shown) -> dict[str, Any]:
    from agent.request import masked  # noqa: PLC0415

    if one.bad is not None:
        return {
            "file": str(one.file),
            "line": one.bad.line,
            "bad_record": one.bad.text,
            "reason": one.bad.reason,
        }
    assert one.request is not None
    assert one.draft is not None
    try:
        body: dict[str, str] = {"body": _plain(one).decode()}
    except UnicodeDecodeError:
        import base64  # noqa: PLC0415 - rare

        body = {"body_base64": base64.b64encode(_plain(one)).decode()}
    return {
        "file": str(one.file),
        "origin": one.draft.origin,
        "lane": one.draft.lane,
        "records": one.draft.records,
        "size": one.draft.size,
        "size_gzipped": len(one.draft.body),
        "key": one.key,
        "method": one.request.method,
        "url": one.request.url,
        "headers": masked(one.request.headers, secret=one.request.secret_headers),
        "sent_gzipped": one.request.gzip,
        **body,
    }
