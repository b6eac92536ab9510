"""`push-agent dead`: messages that a target refused for good, with the bytes sent and the answer."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import moment, note, size, table
from agent.errors import AgentError
from agent.status import counted, number

if TYPE_CHECKING:
    from agent.message import DeadLetter

BODY_SHOWN = 4_000


@click.group(
    epilog="""\b
Examples:
  push-agent dead list
  push-agent dead list --job gps-positions --output json
  push-agent dead show 17
"""
)
def command() -> None:
    """Look at messages that a target refused for good. Nothing here expires by itself."""


@command.command(
    "list",
    epilog="""\b
Examples:
  push-agent dead list
  push-agent dead list --job gps-positions --limit 10
  push-agent dead list --reason expired                        what was too old to be sent
  push-agent dead list --output json | jq '.[].answer.body'
""",
)
@config_option
@state_option
@output_option
@click.option("--job", default=None, help="Only of this job.")
@click.option(
    "--reason", default="", help="Only with this reason: refused, misdirected, expired, bad record, damaged."
)
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many.")
def list_command(  # noqa: PLR0917 - one for each option
    config: Path, state: Path | None, output: str, job: str | None, reason: str, limit: int
) -> int:
    """List dead letters, newest first."""
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(state_folder(config, state)) as reader:
        letters = reader.dead(job, limit, reason=reason)
    if output == "json":
        print_json([_as_json(letter) for letter in letters])
    elif not letters:
        click.echo("no dead letters" + (f" of {job}" if job else "") + (f": {reason}" if reason else ""))
    else:
        click.echo(_as_table(letters))
    return 0


@command.command(
    "show",
    epilog="""\b
Examples:
  push-agent dead show 17
  push-agent dead show 17 --output json | jq -r .body.text     the bytes as they were sent
""",
)
@config_option
@state_option
@output_option
@click.argument("id", type=int)
def show_command(config: Path, state: Path | None, output: str, id: int) -> int:  # noqa: A002 - the user's word
    """Show one dead letter whole: the request as it was sent, and the answer."""
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(state_folder(config, state)) as reader:
        letter = reader.dead_letter(id)
    if letter is None:
        raise AgentError(f"there is no dead letter {id}", hint="push-agent dead list shows all")
    if output == "json":
        print_json({**_as_json(letter), "body": _body_json(letter)})
    else:
        click.echo(_as_text(letter))
    return 0


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "job": letter.job,
        "key": letter.key,
        "reason": letter.reason,
        "records": letter.records,
        "size": letter.size,
        "origin": letter.origin,
        "spooled_at": _time(letter.spooled_at),
        "died_at": _time(letter.died_at),
        "attempts": letter.attempts,
        "request": {"method": letter.method, "url": letter.url, "headers": dict(letter.headers)},
        "answer": {
            "status": letter.answer.status,
            "reason": letter.answer.reason,
            "headers": dict(letter.answer.headers),
            "body": letter.answer.body,
        },
    }


def _plain(letter: DeadLetter) -> bytes:
    import gzip  # noqa: PLC0415 - only to show one

    return gzip.decompress(letter.body) if letter.body else b""


def _body_json(letter: DeadLetter) -> dict[str, str]:
    plain = _plain(letter)
    try:
        return {"text": plain.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(plain).decode()}


def _as_table(letters: list[DeadLetter]) -> str:
    heads = ("ID", "DIED", "JOB", "REASON", "ANSWER", "RECORDS", "SIZE", "FROM")
    rows = [
        (
            str(letter.id),
            moment(_time(letter.died_at)),
            letter.job,
            letter.reason,
            letter.answer.reason,
            number(letter.records),
            size(letter.size),
            letter.origin,
        )
        for letter in letters
    ]
    return table(heads, rows, right=frozenset({0, 5, 6}))


def _as_text(letter: DeadLetter) -> str:
    spooled, died = moment(_time(letter.spooled_at)), moment(_time(letter.died_at))
    lines = [
        f"dead letter {letter.id} of {letter.job}: {letter.reason}",
        f"from {letter.origin}, {counted(letter.records, 'record')}",
        f"spooled {spooled}, died {died} after {counted(letter.attempts, 'attempt')}",
        "",
        f"{letter.method} {letter.url}" if letter.method else "it never became a request; the record was:",
        f"Content-Type: {letter.content_type}",
        f"Idempotency-Key: {letter.key}",
        *[f"{name}: {value}" for name, value in letter.headers.items()],
        "",
        _shown(_plain(letter)),
        "",
        note("answer: ") + letter.answer.reason,
        *[f"{name}: {value}" for name, value in letter.answer.headers.items()],
        "",
        _printable(letter.answer.body),
    ]
    return "\n".join(lines)


def _shown(body: bytes) -> str:
    text = _printable(body[:BODY_SHOWN].decode(errors="replace"))
    rest = len(body) - BODY_SHOWN
    return f"{text}\n… {rest:,} more bytes (--output json shows all)" if rest > 0 else text


def _printable(text: str) -> str:
    """Line breaks stay; other control characters cannot play with the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
