"""`push-agent dry-run`: the exact requests of a job, shown and not sent."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.options import config_option, output_option, print_json, state_option
from agent.commands.screen import bad, note, size
from agent.errors import ConfigError, UsageError
from agent.status import counted

if TYPE_CHECKING:
    from agent.config.model import AgentSettings, Connection, Job
    from agent.preview import Shown
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
    "--limit", type=click.IntRange(min=1), default=3, show_default=True, help="At most so many requests."
)
@click.option("--all", "everything", is_flag=True, help="Also what was read or sent already.")
@click.option("--curl", is_flag=True, help="As curl commands.")
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
) -> int:
    """Show the exact requests of JOB: method, URL, headers (secrets masked), body, sizes and key.

    Nothing is sent and no state is written. The requests are those of the source's files that were not
    read yet, or of a --sample file.
    """
    from agent.preview import preview  # noqa: PLC0415
    from agent.sources.seen import NOTHING  # noqa: PLC0415

    settings, chosen, connection = _find(config, job)
    known = set() if everything or sample else _known(state or settings.state, job)
    seen = NOTHING if everything else _seen(state or settings.state, chosen)
    shown = []
    with _context(settings) as context:
        for one in preview(chosen, connection, context, sample=sample, known=known, seen=seen):
            shown.append(one)
            if len(shown) == limit:
                break
    if output == "json":
        print_json([_as_json(one) for one in shown])
    elif not shown:
        click.echo(_nothing(chosen, known))
    else:
        texts = [_as_curl(one) if curl else _as_text(one, number) for number, one in enumerate(shown, 1)]
        click.echo("\n\n".join(texts))
        if len(shown) == limit and not curl:
            click.echo(f"\n(the first {limit}; more with --limit N)", err=True)
    return 0


def _find(config: Path, name: str) -> tuple[AgentSettings, Job, Connection]:
    """The job and its connection; only what is wrong with them is told."""
    import difflib  # noqa: PLC0415 - beside its use

    from agent.config import load  # noqa: PLC0415

    loaded = load(config)
    job = loaded.plan.jobs.get(name)
    if job is None:
        if loaded.errors:
            raise ConfigError(loaded.errors)
        near = difflib.get_close_matches(name, loaded.plan.jobs, n=1)
        known = ", ".join(sorted(loaded.plan.jobs)) or "none"
        hint = f"did you mean {near[0]}?" if near else f"the jobs there are: {known}"
        raise UsageError(f"there is no job {name!r} in {config}", hint=hint)
    return loaded.plan.settings, job, loaded.plan.connections[job.target.connection]


def _known(state: Path, job: str) -> set[FileStamp]:
    """Files that the daemon has read already. The state is only read, without leaving a byte behind."""
    if not state.is_dir():
        return set()
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(state) as reader:
        return {row.stamp for row in reader.files(job, limit=100_000)}


def _seen(state: Path, job: Job) -> Seen:
    """What was sent for each key, of a job that sends new and changed records only."""
    from agent.collect.known import FOLDER, layer_of, layers_of, only_of  # noqa: PLC0415 - needs the spool
    from agent.sources.seen import Seen  # noqa: PLC0415
    from agent.spool import Reader  # noqa: PLC0415

    only = only_of(job)
    if only is None or not state.is_dir():
        return Seen()
    folder = state / FOLDER / job.name
    with Reader.open(state) as reader:
        layers, _ = layers_of((reader.cursor(job.name) or {}).get("seen"), folder, only.changed_by)
    return Seen(layers=tuple(layer_of(folder, one) for one in layers))


@contextmanager
def _context(settings: AgentSettings) -> Iterator[Context]:
    from agent.clock import SystemClock  # noqa: PLC0415
    from agent.render import Context  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="push-agent-") as temp:
        yield Context(
            temp=Path(temp),
            memory=settings.collect_memory,
            threads=settings.collect_threads,
            clock=SystemClock(),
            cancelled=lambda: False,
        )


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
        body = _plain(one).decode()
    except UnicodeDecodeError:
        return as_curl(one.request)
    return as_curl(one.request, body=body) if not one.request.gzip else as_curl(one.request)


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
