"""`push-agent push`: run one job now."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.moments import seconds_of
from agent.commands.options import config_option, must_know, output_option, print_json, state_option
from agent.commands.screen import bad, good, note
from agent.errors import EXIT_TEMPORARY, ControlError, StateLocked, UsageError
from agent.phrases import counted
from agent.web.client import call_and_wait, is_living

if TYPE_CHECKING:
    from agent.commands.backfill import Span
    from agent.config import Loaded
    from agent.message import JsonValue
    from agent.oneshot import Pushed

# A run may read a very large file; the daemon goes on with it when nobody waits any more.
PATIENCE = 3600.0
_NOT_YET = {"state": "collecting", "reason": "", "records": 0, "messages": 0, "delivered": 0, "dead": 0}


@click.command(
    epilog="""\b
Examples:
  push-agent push planning-csv             what is new now, without waiting for the schedule
  push-agent push gps-positions --limit 1  one file only, to see whether it works
  push-agent push planning-csv --wait      until the target has taken what is new now
  push-agent push planning-csv --wait --timeout 10m                   also while the target must be waited for
  push-agent push trips --from 2026-01-01 --to 2026-02-01             that month, window by window
  push-agent push trips --from 2026-01-01 --to 2026-02-01 --step 1d   a day at a time
"""
)
@click.argument("job")
@config_option
@state_option
@output_option
@click.option("--limit", type=click.IntRange(min=1), help="Begin no further file after so many records.")
@click.option("--wait", is_flag=True, help="Until all that this run spools is delivered.")
@click.option("--timeout", "span", metavar="DURATION", help="With --wait: so long, also while a lane waits.")
@click.option("--from", "since", metavar="TIME", help="Pull again all since this date or time.")
@click.option("--to", "until", metavar="TIME", help="Up to, and without, this date or time.")
@click.option("--step", metavar="DURATION", help="Length of a window. [default: the schedule's own]")
def command(  # noqa: PLR0917 - one for each option
    job: str,
    config: Path,
    state: Path | None,
    output: str,
    limit: int | None,
    wait: bool,  # noqa: FBT001
    span: str | None,
    since: str | None,
    until: str | None,
    step: str | None,
) -> int:
    """Run JOB once, now; or, with --from and --to, once for each window of a span of the past.

    With a running daemon, the daemon does it. Without one, this command takes the state folder, collects,
    delivers, and ends when nothing is left or the target must be waited for (exit code 75; what waits
    is kept and is delivered by the daemon or the next push).

    With --wait the exit code says what became of it: 0 delivered, 1 the run failed or something of it is a
    dead letter, 75 the target must be waited for. --timeout waits that long through such waits.

    A job whose query uses :since and :until pulls the windows that are due. With --from and --to it pulls
    those of the past, in order: dates count in the job's time zone. Killed or stopped with Ctrl-C, the same
    command goes on where it was; the job's schedule goes on in between.
    """
    seconds = None if span is None else seconds_of("--timeout", span)
    if seconds is not None and not wait:
        raise UsageError("--timeout is for --wait", hint="add --wait")
    windows = _span(job, since, until, step, limit)
    if wait and windows is not None:
        raise UsageError(
            "--wait cannot stand beside --from and --to", hint="push-agent drain waits for a job"
        )
    from agent.config import load  # noqa: PLC0415 - yaml and jsonschema

    loaded = load(config)
    folder = state.absolute() if state else loaded.plan.settings.state
    if windows is not None:
        from agent.commands.backfill import backfill  # noqa: PLC0415 - beside its use

        return backfill(windows, loaded=loaded, config=config, state=folder, output=output)
    try:
        result = _by_daemon(folder, job, limit, wait=wait, seconds=seconds, quiet=output == "json")
    except StateLocked as error:
        raise ControlError(error.message, hint="the daemon is starting or stopping: try again") from error
    if result is None:
        result = _alone(loaded, config, folder, job, limit, seconds)
    if output == "json":
        print_json(result)
    else:
        _tell(result)
    if result["state"] == "failed" or (wait and result["dead"]):
        return 1
    return EXIT_TEMPORARY if result.get("waits") else 0


def _span(job: str, since: str | None, until: str | None, step: str | None, limit: int | None) -> Span | None:
    """None without --from and --to. Raises UsageError."""
    if since is None and until is None and step is None:
        return None
    if since is None or until is None:
        missing = "--from" if since is None else "--to"
        raise UsageError(f"{missing} is missing", hint="a span of the past needs both, --from and --to")
    if limit is not None:
        raise UsageError("--limit cannot stand beside --from and --to", hint="leave one of them out")
    from agent.commands.backfill import Span  # noqa: PLC0415 - beside its use

    return Span(job=job, since=since, until=until, step=step or "")


def _by_daemon(
    state: Path, job: str, limit: int | None, *, wait: bool, seconds: float | None, quiet: bool
) -> dict[str, Any] | None:
    """What the daemon's run came to; None when none runs."""
    if not is_living(state):
        return None
    words: dict[str, JsonValue] = {"job": job, "limit": limit}
    try:
        result = dict(call_and_wait(state, "push", words, timeout=PATIENCE if seconds is None else seconds))
    except ControlError as error:
        if seconds is None or not isinstance(error.__cause__, TimeoutError):
            raise
        late = f"the time is up after {seconds:g} s; its run goes on in the daemon"
        return {**_NOT_YET, "job": job, "waits": late}
    mark = result.pop("mark")
    return {**result, **_followed(state, result, mark, seconds, quiet=quiet)} if wait else result


def _followed(
    state: Path, result: dict[str, Any], mark: JsonValue, seconds: float | None, *, quiet: bool
) -> dict[str, Any]:
    """Until what the run has spooled is gone, or must be waited for: `delivered`, `dead`, `waits`."""
    from agent.commands.waiting import Progress, wait_for  # noqa: PLC0415 - beside its use

    job, progress = result["job"], Progress(quiet=quiet)
    [left], waits = wait_for(
        state,
        {"job": job, "mark": mark},
        seconds=seconds,
        impatient=True,
        show=lambda left: progress.show(job, left),
    )
    progress.clear()
    # What still waits counts as not delivered: of a run that is left in part nobody can say how much.
    delivered = 0 if waits else max(0, int(result["records"]) - int(left["dead_records"]))
    return {"delivered": delivered, "dead": left["dead"], "waits": waits or None}


def _alone(  # noqa: PLR0917
    loaded: Loaded, config: Path, state: Path, job: str, limit: int | None, seconds: float | None
) -> dict[str, Any]:
    import asyncio  # noqa: PLC0415 - beside its use

    from agent.clock import SystemClock  # noqa: PLC0415
    from agent.logs import set_up_logs  # noqa: PLC0415
    from agent.oneshot import push_once  # noqa: PLC0415 - the heavy half of the agent

    must_know(loaded, config, job)
    set_up_logs("warning", loaded.plan.settings.log_format)
    pushed = asyncio.run(
        push_once(
            job,
            limit,
            config=config,
            settings=replace(loaded.plan.settings, state=state),
            loaded=loaded,
            clock=SystemClock(),
            say=_progress,
            patience=seconds,
        )
    )
    _progress("")
    return _as_json(job, pushed)


def _progress(text: str) -> None:
    """One line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _as_json(job: str, pushed: Pushed) -> dict[str, Any]:
    run = pushed.run
    return {
        "job": job,
        "state": run.state,
        "reason": run.reason,
        "records": run.records,
        "messages": run.messages,
        "delivered": pushed.delivered,
        "dead": pushed.dead,
        "waits": pushed.waits or None,
    }


def _tell(result: dict[str, Any]) -> None:
    words = f"{counted(result['records'], 'record')} in {counted(result['messages'], 'message')} spooled"
    if result["state"] == "failed":
        click.echo(bad(f"{result['job']}: failed: ") + str(result["reason"]), err=True)
    else:
        click.echo(good(f"{result['job']}: {result['state']}: ") + words)
        if result["reason"]:
            click.echo(note("  ") + str(result["reason"]))
    if "delivered" not in result:
        click.echo("  the daemon delivers them: push-agent status")
        return
    if not result["waits"] or result["delivered"]:
        click.echo(f"  delivered: {counted(result['delivered'], 'record')}")
    if result["dead"]:
        letters = counted(result["dead"], "dead letter")
        click.echo(bad("  refused: ") + f"{letters}: push-agent dead list --job {result['job']}", err=True)
    if result["waits"]:
        click.echo(note("  waiting: ") + f"{result['waits']} (kept in the spool)", err=True)
