"""`push-agent dead`: messages that a target refused for good, with the bytes sent and the answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands.dead_edit import edit_command
from agent.commands.dead_export import export_command
from agent.commands.dead_retry import drop_command, retry_command
from agent.commands.dead_screen import as_curl, as_json, as_table, as_text, body_json, plain
from agent.commands.dead_which import which_options
from agent.commands.options import (
    config_option,
    on_terminal,
    output_option,
    print_json,
    state_folder,
    state_option,
)
from agent.commands.screen import note
from agent.errors import AgentError, UsageError
from agent.phrases import counted, number

if TYPE_CHECKING:
    from agent.message import DeadLetter
    from agent.spool import Which


@click.group(
    epilog="""\b
Examples:
  push-agent dead list
  push-agent dead show 17
  push-agent dead edit 17                                      put it right, then send it again
  push-agent dead retry --job gps-positions --status 4xx
  push-agent dead drop --reason expired --older-than 30d
  push-agent dead export --all --to /tmp/letters
"""
)
def command() -> None:
    """Messages that a target refused for good: look, send again, put right, forget.

    Nothing here expires by itself.
    """


for _each in (retry_command, edit_command, drop_command, export_command):
    command.add_command(_each)


@command.command(
    "list",
    epilog="""\b
Examples:
  push-agent dead list
  push-agent dead list --job gps-positions --limit 10
  push-agent dead list --status 4xx --since 2026-01-31T08:00   times without a zone are of this machine
  push-agent dead list --reason expired                        what was too old to be sent
  push-agent dead list --output json | jq '.[].answer.body'
""",
)
@config_option
@state_option
@output_option
@which_options
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many.")
def list_command(config: Path, state: Path | None, output: str, which: Which, limit: int) -> int:
    """List dead letters, newest first."""
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(state_folder(config, state)) as reader:
        letters = reader.letters(which, limit)
        if len(letters) < limit:
            total = len(letters)
        else:
            total = sum(one.letters for one in reader.letters_counted(which))
    if output == "json":
        print_json([as_json(letter) for letter in letters])
    elif not letters:
        of = f" of {which.job}" if which.job else ""
        click.echo(f"no dead letters{of}" + (f": {which.reason}" if which.reason else ""))
    else:
        click.echo(as_table(letters))
        if total > limit:
            more = f"{counted(total - limit, 'older one')} more of {number(total)}: --limit {total}"
            click.echo(note(more), err=True)
    return 0


@command.command(
    "show",
    epilog="""\b
Examples:
  push-agent dead show 17
  push-agent dead show 17 --body > letter.json                 the bytes as they were sent
  push-agent dead show 17 --curl                               a command that sends it by hand
  push-agent dead show 17 --output json | jq -r .body.text
""",
)
@config_option
@state_option
@output_option
@click.argument("id", type=int)
@click.option("--body", "raw", is_flag=True, help="Only the body, byte for byte.")
@click.option("--curl", is_flag=True, help="As a curl command, without what signs it in.")
def show_command(  # noqa: PLR0917 - one for each option
    config: Path,
    state: Path | None,
    output: str,
    id: int,  # noqa: A002 - the user's word
    raw: bool,  # noqa: FBT001
    curl: bool,  # noqa: FBT001
) -> int:
    """Show one dead letter whole: the request as it was sent, and the answer.

    On a terminal, JSON and XML are laid out; everywhere else the body is shown as it was sent.
    """
    if raw and curl:
        raise UsageError("--body and --curl exclude each other", hint="leave one of them out")
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(state_folder(config, state)) as reader:
        letter = reader.dead_letter(id)
        before = reader.letter_before(id)
    if letter is None:
        raise AgentError(f"there is no dead letter {id}", hint="push-agent dead list shows all")
    if raw:
        sys.stdout.buffer.write(plain(letter))
        sys.stdout.buffer.flush()
    elif curl:
        click.echo(_curl(letter))
    elif output == "json":
        print_json({**as_json(letter), "body": body_json(plain(letter))})
    else:
        click.echo(as_text(letter, before, laid_out=on_terminal()))
    return 0


def _curl(letter: DeadLetter) -> str:
    if not letter.method:
        raise AgentError(f"dead letter {letter.id} never became a request", hint="--body gives its record")
    return as_curl(letter)
