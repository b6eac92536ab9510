"""`push-agent dead export`: bodies and all that is known of them, for another program or another place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from agent.commands.dead_desk import Chosen, Progress, choose, pieces
from agent.commands.dead_retry import all_option, dry_option, ids_argument, limit_option
from agent.commands.dead_screen import as_json, body_json, plain
from agent.commands.dead_text import ending_of
from agent.commands.dead_which import which_options
from agent.commands.options import config_option, print_json, state_folder, state_option
from agent.commands.screen import good, note
from agent.errors import AgentError, UsageError
from agent.phrases import counted

if TYPE_CHECKING:
    from agent.message import DeadLetter
    from agent.spool import Which

INDEX = "index.jsonl"
_PLAIN_NAME = re.compile(r"[^A-Za-z0-9._-]")

Put: TypeAlias = "Callable[[DeadLetter], None]"


@click.command(
    "export",
    epilog="""\b
Examples:
  push-agent dead export --all --to /tmp/letters            a file for each body, and index.jsonl
  push-agent dead export --job gps-positions --output ndjson | jq .answer.body
  push-agent dead export --reason expired --until 2026-01-01 --to old-ones
""",
)
@config_option
@state_option
@click.option(
    "--output",
    type=click.Choice(["text", "json", "ndjson"]),
    default="text",
    show_default=True,
    help="ndjson: one letter a line, body included, on standard output, instead of --to.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    help="Into this folder, which is made.",
)
@ids_argument
@which_options
@limit_option
@all_option
@dry_option
def export_command(  # noqa: PLR0917 - one for each option
    config: Path,
    state: Path | None,
    output: str,
    target: Path | None,
    ids: tuple[int, ...],
    which: Which,
    limit: int | None,
    everything: bool,  # noqa: FBT001
    dry: bool,  # noqa: FBT001
) -> int:
    """Write dead letters out: bodies as they were sent, and all that is known of them.

    The letters stay. What signs a request in is in no dead letter, and so in no export; bodies and answers
    hold what your data holds: the folder is readable for its owner only.
    """
    if (target is None) != (output == "ndjson") and not dry:
        raise UsageError("export whereto?", hint="give --to FOLDER, or --output ndjson for standard output")
    folder = state_folder(config, state)
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(folder) as reader:
        chosen = choose(reader, which, ids, limit, everything=everything)
    if dry:
        print_json({"matched": chosen.letters, "jobs": chosen.jobs, "bytes": chosen.size})
        return 0
    if target is None:
        for letter in _letters(folder, chosen):
            line = {**as_json(letter), "body": body_json(plain(letter))}
            click.echo(json.dumps(line, ensure_ascii=False))
        return 0
    count = _into(target, folder, chosen)
    if output == "json":
        print_json({"exported": count, "to": str(target), "index": str(target / INDEX)})
    else:
        click.echo(good("exported: ") + f"{counted(count, 'dead letter')} to {target}, see {INDEX}")
    return 0


def _letters(folder: Path, chosen: Chosen) -> Iterator[DeadLetter]:
    """One after the other, in the order of their messages; one that goes meanwhile is passed over.

    Without a daemon no lock is taken: nothing is written, and a daemon can start. What is read while it
    begins to write is read again (see `agent.spool.calm`): as if it had run from the start.
    """
    from agent.spool import Reader  # noqa: PLC0415 - beside its use

    for piece in pieces(folder, chosen):
        with Reader.open(folder) as reader:
            for spot in piece:
                letter = reader.dead_letter(spot.id)
                if letter is not None:
                    yield letter


def _into(target: Path, folder: Path, chosen: Chosen) -> int:
    """The index gets its name last: what has one is whole. Raises AgentError."""
    part = target / f".{INDEX}.part"
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (target / INDEX).exists():
            raise UsageError(f"{target} holds an export already", hint="give a folder that is new or empty")
        part.unlink(missing_ok=True)
        count = 0
        with (
            Progress("exported:", chosen.letters) as progress,
            os.fdopen(os.open(part, _FRESH, 0o600), "w", encoding="utf-8") as index,
        ):
            for letter in _letters(folder, chosen):
                index.write(json.dumps(_put(target, letter), ensure_ascii=False) + "\n")
                count += 1
                progress.add(1)
        part.rename(target / INDEX)
    except OSError as error:
        where = error.filename or target
        raise AgentError(
            f"the export to {target} ended early: {where}: {error.strerror or error}",
            hint="all letters are still there; export them to another folder",
        ) from None
    if count < chosen.letters:
        click.echo(note(f"{counted(chosen.letters - count, 'letter')} went meanwhile"), err=True)
    return count


_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def _put(target: Path, letter: DeadLetter) -> dict[str, Any]:
    """Write its body; its line of the index."""
    name = f"{letter.id:08}-{_PLAIN_NAME.sub('_', letter.job)[:100]}{ending_of(letter.content_type)}"
    with os.fdopen(os.open(target / name, _FRESH, 0o600), "wb") as out:
        out.write(plain(letter))
    return {**as_json(letter), "file": name}
