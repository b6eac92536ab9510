"""`push-agent dead retry` and `dead drop`: back into the queue, or gone by a person's wish."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.dead_desk import Chosen, Progress, agree, choose, desk, pieces
from agent.commands.dead_which import which_options
from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import good, note
from agent.phrases import counted, number

if TYPE_CHECKING:
    from agent.spool import Which

_SHOWN = 5
"""Letters that could not be sent and are named one by one."""

ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(min=1))
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=None, help="At most so many, the oldest first."
)
all_option = click.option("--all", "everything", is_flag=True, help="All that there are.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_option = click.option("--dry-run", "dry", is_flag=True, help="Only count them.")


@click.command(
    "retry",
    epilog="""\b
Examples:
  push-agent dead retry 17 18
  push-agent dead retry --job gps-positions --status 4xx --since 2h
  push-agent dead retry --reason misdirected --dry-run         how many would that be?
  push-agent dead retry --all --yes
""",
)
@config_option
@state_option
@output_option
@ids_argument
@which_options
@limit_option
@all_option
@yes_option
@dry_option
def retry_command(  # noqa: PLR0917 - one for each option
    config: Path,
    state: Path | None,
    output: str,
    ids: tuple[int, ...],
    which: Which,
    limit: int | None,
    everything: bool,  # noqa: FBT001
    yes: bool,  # noqa: FBT001
    dry: bool,  # noqa: FBT001
) -> int:
    """Send dead letters again: with the same key, in the order in which they were collected.

    They go to the end of their lane, behind what waits there now. With a running daemon they leave at once;
    without one they wait for it. What never was a request (a bad record) is passed over.
    """
    folder = state_folder(config, state)
    jobs: Counter[str] = Counter()
    refused: list[dict[str, Any]] = []
    unknown: set[str] = set()
    lives = False
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(folder) as reader:
        chosen = choose(reader, replace(which, sendable=True), ids, limit, everything=everything)
        others = 0 if ids else sum(one.letters for one in reader.letters_counted(_unsendable(which)))
        if dry or not chosen.letters:
            return _only_counted(chosen, output, others)
    agree(chosen, "retry", time.time(), yes=yes)
    with Progress("sent again:", chosen.letters) as progress, desk(config, folder, "retry") as ask:
        for piece in pieces(folder, chosen):
            weight = sum(spot.weight for spot in piece)
            answer = ask({"action": "retry", "ids": [spot.id for spot in piece], "weight": weight})
            jobs.update(answer["jobs"])
            refused += answer["refused"]
            unknown.update(answer["unknown"])
            lives = answer["daemon"]
            progress.add(len(piece))
    if output == "json":
        print_json({"retried": jobs.total(), "jobs": dict(jobs), "refused": refused, "unsendable": others})
    else:
        _tell(jobs, refused, unknown, others)
        if jobs and not lives:
            click.echo(note("no daemon runs: ") + "they leave when it does", err=True)
    return 1 if refused else 0


@click.command(
    "drop",
    epilog="""\b
Examples:
  push-agent dead drop 17
  push-agent dead drop --reason expired --older-than 30d
  push-agent dead drop --job gps-positions --status 410 --yes
""",
)
@config_option
@state_option
@output_option
@ids_argument
@which_options
@limit_option
@all_option
@yes_option
@dry_option
def drop_command(  # noqa: PLR0917 - one for each option
    config: Path,
    state: Path | None,
    output: str,
    ids: tuple[int, ...],
    which: Which,
    limit: int | None,
    everything: bool,  # noqa: FBT001
    yes: bool,  # noqa: FBT001
    dry: bool,  # noqa: FBT001
) -> int:
    """Forget dead letters for good. `dead export` keeps them somewhere else first."""
    folder = state_folder(config, state)
    jobs: Counter[str] = Counter()
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    with Reader.open(folder) as reader:
        chosen = choose(reader, which, ids, limit, everything=everything)
        if dry or not chosen.letters:
            return _only_counted(chosen, output, 0)
    agree(chosen, "drop", time.time(), yes=yes)
    with Progress("dropped:", chosen.letters) as progress, desk(config, folder, "drop") as ask:
        for piece in pieces(folder, chosen):
            jobs.update(ask({"action": "drop", "ids": [spot.id for spot in piece]})["jobs"])
            progress.add(len(piece))
    if output == "json":
        print_json({"dropped": jobs.total(), "jobs": dict(jobs)})
    else:
        click.echo(good("dropped: ") + counted(jobs.total(), "dead letter") + _of(jobs))
    return 0


def _unsendable(which: Which) -> Which:
    return replace(which, sendable=False)


def _of(jobs: Counter[str]) -> str:
    named = ", ".join(f"{job}: {number(count)}" for job, count in sorted(jobs.items()))
    return f" ({named})" if named else ""


def _only_counted(chosen: Chosen, output: str, others: int) -> int:
    if output == "json":
        print_json({"matched": chosen.letters, "jobs": chosen.jobs, "unsendable": others})
        return 0
    click.echo(chosen.words(time.time()) if chosen.letters else "no dead letter matches")
    _tell_others(others)
    return 0


def _tell(jobs: Counter[str], refused: list[dict[str, Any]], unknown: set[str], others: int) -> None:
    click.echo(good("sent again: ") + counted(jobs.total(), "dead letter") + _of(jobs))
    for one in refused[:_SHOWN]:
        click.echo(note("not sent: ") + one["reason"], err=True)
    if len(refused) > _SHOWN:
        click.echo(note("not sent: ") + f"{number(len(refused) - _SHOWN)} more", err=True)
    for job in sorted(unknown):
        click.echo(
            note(f"{job}: ") + "the config has no such job; its messages wait until it is back", err=True
        )
    _tell_others(others)


def _tell_others(others: int) -> None:
    if others:
        click.echo(f"{counted(others, 'other')} cannot be sent: never a request, or damaged", err=True)
