"""`push-agent history`: the runs of a job, and what came of each."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.moments import MOMENT, WAYS, moment_of
from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import age, bad, moment, note, printable, table
from agent.errors import AgentError, UsageError
from agent.phrases import number, rfc3339

if TYPE_CHECKING:
    from agent.spool import Reader, RunRow
    from agent.spool.values import Fates

STATES = ("collecting", "done", "failed", "stopped", "interrupted", "skipped")
REASON_SHOWN = 100
_MARKS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(STATES, str),
    **dict.fromkeys(("failed", "interrupted"), bad),
    **dict.fromkeys(("skipped", "stopped"), note),
}


@click.command(
    epilog="""\b
Examples:
  push-agent history gps-positions
  push-agent history gps-positions --only failed --since 2d
  push-agent history gps-positions --run 4711                what became of all that it collected
  push-agent history tracking --since 2026-11-26T06:00:00+01:00 --output json
"""
)
@config_option
@state_option
@output_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@click.option("--since", metavar=MOMENT, default="", help=f"Only runs due since then: {WAYS}.")
@click.option("--only", default=None, type=click.Choice(STATES), help="Only runs that ended so.")
@click.option("--run", "one", default=None, type=click.IntRange(min=1), help="Only the run with this number.")
@click.argument("job")
def command(  # noqa: PLR0917 - one for each option
    config: Path,
    state: Path | None,
    output: str,
    limit: int,
    since: str,
    only: str | None,
    one: int | None,
    job: str,
) -> int:
    """List the runs of a job, the newest first: when due, what was read, how it ended, what became of it.

    The last 1,000 runs of each job are kept, those that were skipped too. What became of their records is
    looked up in receipts and dead letters, in a list only as far as that is quick ("?": not known); with
    --run much further.
    """
    if one is not None and (since or only):
        raise UsageError("--run names one run", hint="leave --since and --only out")
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    begin = moment_of("--since", since, time.time()) if since else -math.inf
    with Reader.open(state_folder(config, state)) as reader:
        if one is None:
            asked = reader.runs(job, limit, since=begin, state=only or "")
        else:
            asked = _only(reader, job, one)
        runs = reader.fates(asked, deep=one is not None)
    if output == "json":
        print_json([_as_json(run, fates) for run, fates in runs])
    elif not runs:
        click.echo(f"no runs of {printable(job)}" + (f" that are {only}" if only else ""))
    else:
        click.echo(_as_table(runs))
        if one is None and any(None in dataclasses.astuple(fates) for _, fates in runs):
            words = "?: not looked for, since there are too many receipts, letters or messages"
            click.echo(note(f"{words}; --run looks further"), err=True)
    return 0


def _only(reader: Reader, job: str, one: int) -> list[RunRow]:
    run = reader.run(job, one)
    if run is None:
        hint = f"push-agent history {job} lists those that are kept"
        raise AgentError(f"there is no run {one} of {printable(job)}", hint=hint)
    return [run]


def _as_json(run: RunRow, fates: Fates) -> dict[str, Any]:
    window = run.since is not None and run.until is not None
    return {
        "run": run.id,
        "job": run.job,
        "due_at": rfc3339(run.due),
        "trigger": run.trigger,
        "state": run.state,
        "reason": run.reason,
        "started_at": rfc3339(run.started_at),
        "ended_at": None if run.ended_at is None else rfc3339(run.ended_at),
        "seconds": None if run.ended_at is None else round(run.ended_at - run.started_at, 3),
        "records": run.records,
        "messages": run.messages,
        "bytes": run.bytes,
        "fates": {f"{name}_records": count for name, count in dataclasses.asdict(fates).items()},
        "window": {"since_at": rfc3339(run.since or 0), "until_at": rfc3339(run.until or 0)}
        if window
        else None,
        "backfill": run.backfill,
    }


def _as_table(runs: list[tuple[RunRow, Fates]]) -> str:
    heads = ["RUN", "DUE", "TRIGGER", "STATE", "RECORDS", "REQUESTS", "TOOK", "FATES", "WINDOW", "REASON"]
    rows = [
        [
            str(run.id),
            moment(rfc3339(run.due)),
            run.trigger + (f" {run.backfill}" if run.backfill else ""),
            str(run.state),
            number(run.records),
            number(run.messages),
            "-" if run.ended_at is None else age(run.ended_at - run.started_at),
            _fates(run, fates),
            _window(run),
            _short(run.reason),
        ]
        for run, fates in runs
    ]
    if all(run.since is None for run, _ in runs):
        for row in (heads, *rows):
            del row[8]
    head, *lines = table(heads, rows, right=frozenset({0, 4, 5, 6})).split("\n")
    shown = [_MARKS[run.state](line) for (run, _), line in zip(runs, lines, strict=True)]
    return "\n".join([head, *shown])


def _fates(run: RunRow, fates: Fates) -> str:
    """`998 delivered, 2 dead`; "?" ends what is not known to be all."""
    if not run.records and not fates.dead:
        return "-"
    if fates.delivered is not None and fates.delivered == run.records and not fates.dead:
        return "all delivered"
    counts = {
        "delivered": fates.delivered,
        "superseded": fates.superseded,
        "dead": fates.dead,
        "waiting": fates.waiting,
        "no longer kept": fates.other,
    }
    words = [f"{number(count)} {name}" for name, count in counts.items() if count]
    return ", ".join([*words, "?"] if None in counts.values() else words)


def _window(run: RunRow) -> str:
    if run.since is None or run.until is None:
        return "-"
    return f"{rfc3339(run.since)[:19]}Z to {rfc3339(run.until)[:19]}Z"


def _short(reason: str) -> str:
    text = printable(reason).replace("\n", " ")
    return text if len(text) <= REASON_SHOWN else text[:REASON_SHOWN] + "…"
