"""`push-agent drain`: nothing more is collected, and what is in the spool leaves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.moments import seconds_of
from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import good, note
from agent.commands.waiting import Progress, wait_for
from agent.errors import EXIT_TEMPORARY, ConfigError, StateLocked, UsageError
from agent.phrases import counted
from agent.web.client import call_and_wait, is_living

if TYPE_CHECKING:
    from agent.following import Left

INTERRUPTED = 130
_PATIENCE = 30.0


@click.command(
    epilog="""\b
Examples:
  push-agent drain                                   all jobs, before the server is moved
  push-agent drain gps-positions --timeout 10m
  push-agent drain --connection simacan-stg          all that deliver over it
  push-agent drain planning-csv --resume             collect again as soon as it is empty
"""
)
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@config_option
@state_option
@output_option
@click.option("--connection", "connections", multiple=True, metavar="NAME", help="Jobs that deliver over it.")
@click.option("--timeout", "span", metavar="DURATION", help="Such as 30m. [default: as long as it takes]")
@click.option("--resume", is_flag=True, help="Collect again at the end, however it ends.")
@click.option("--reason", default="", metavar="TEXT", help="Shown by status and in the log.")
def command(  # noqa: PLR0917 - one for each option
    jobs: tuple[str, ...],
    config: Path,
    state: Path | None,
    output: str,
    connections: tuple[str, ...],
    span: str | None,
    resume: bool,  # noqa: FBT001
    reason: str,
) -> int:
    """Collect nothing more of JOBs (default: all) and wait until what they spooled has left.

    Runs under way end first. Their collecting is paused, and stays so when this ends, also by a timeout or
    Ctrl-C: push-agent resume lets it go on. With --resume it goes on at the end in each of these cases.

    Exit code 0: nothing is left; 75: something is, with its reason. With a running daemon the daemon
    delivers; without one this command takes the state folder and delivers by itself.
    """
    seconds = None if span is None else seconds_of("--timeout", span)
    folder = state_folder(config, state)
    progress = Progress(quiet=output == "json")
    words: dict[str, Any] = {"jobs": list(jobs), "connections": list(connections), "reason": reason}
    words["everything"] = not jobs and not connections
    try:
        done = _by_daemon(folder, words, seconds, progress, resume=resume)
        if done is None:
            done = _alone(config, folder, words, seconds, progress, resume=resume)
    except KeyboardInterrupt:
        progress.clear()
        after = "collecting goes on" if resume else "collecting stays paused: push-agent resume JOB or --all"
        click.echo(note("stopped: ") + after, err=True)
        return INTERRUPTED
    progress.clear()
    left, why = done
    answer = _answer(left, why, resume=resume)
    if output == "json":
        print_json(answer)
    else:
        _tell(answer)
    return EXIT_TEMPORARY if why else 0


def _by_daemon(
    state: Path, words: dict[str, Any], seconds: float | None, progress: Progress, *, resume: bool
) -> tuple[list[dict[str, Any]], str] | None:
    """None when none runs."""
    if not is_living(state):
        return None
    begun = call_and_wait(state, "drain", {"action": "begin", **words}, timeout=_PATIENCE)
    try:
        left, why = wait_for(
            state,
            {"jobs": begun["jobs"]},
            seconds=seconds,
            impatient=False,
            show=lambda left: progress.show("draining", left),
        )
    finally:
        if resume:
            call_and_wait(state, "drain", {"action": "end", "jobs": begun["paused"]}, timeout=_PATIENCE)
    return left, why or _held(left)


def _alone(
    config: Path,
    state: Path,
    words: dict[str, Any],
    seconds: float | None,
    progress: Progress,
    *,
    resume: bool,
) -> tuple[list[dict[str, Any]], str]:
    from agent.clock import SystemClock  # noqa: PLC0415 - beside its use
    from agent.config import load  # noqa: PLC0415 - yaml and jsonschema
    from agent.logs import set_up_logs  # noqa: PLC0415
    from agent.oneshot import drain_once  # noqa: PLC0415 - the heavy half of the agent
    from agent.pauses.wish import jobs_meant, wish_of  # noqa: PLC0415

    if not state.is_dir():
        raise UsageError(f"there is no state folder {state}", hint="it is made at the first start")
    loaded = load(config)
    try:
        jobs = jobs_meant(wish_of(words), loaded.plan, {})
    except UsageError:
        if loaded.errors:  # the name may stand in a file that is wrong
            raise ConfigError(loaded.errors) from None
        raise
    if not jobs:
        return [], ""
    set_up_logs("warning", loaded.plan.settings.log_format)

    def say(left: list[Left]) -> None:
        progress.show("draining", [one.as_json() for one in left])

    work = drain_once(
        jobs,
        reason=words["reason"],
        config=config,
        settings=replace(loaded.plan.settings, state=state),
        loaded=loaded,
        clock=SystemClock(),
        say=say,
        patience=seconds,
        resume=resume,
    )
    try:
        left, why = asyncio.run(work)
    except StateLocked as error:
        raise StateLocked(error.message, hint="the daemon is starting or stopping: try again") from error
    shown: list[dict[str, Any]] = [dict(one.as_json()) for one in left]
    return shown, why or _held(shown)


def _held(left: list[dict[str, Any]]) -> str:
    """What cannot leave by itself."""
    held = [one for one in left if one["held"]]
    if not held:
        return ""
    count = counted(sum(one["held"] for one in held), "message")
    names = ", ".join(one["job"] for one in held[:3])
    return f"{count} of {names} cannot leave before what they came from is read to its end: resume collecting"


def _answer(left: list[dict[str, Any]], why: str, *, resume: bool) -> dict[str, Any]:
    return {
        "state": "left" if why else "drained",
        "reason": why,
        "jobs": [{key: one[key] for key in ("job", "messages", "records", "held")} for one in left],
        "collecting": "goes on" if resume else "paused",
    }


def _tell(answer: dict[str, Any]) -> None:
    jobs = counted(len(answer["jobs"]), "job")
    if answer["reason"]:
        messages = counted(sum(one["messages"] for one in answer["jobs"]), "message")
        click.echo(note(f"not drained: {messages} left: ") + answer["reason"], err=True)
    else:
        click.echo(good("drained: ") + f"nothing of {jobs} is left in the spool")
    if answer["collecting"] == "paused":
        click.echo("  collecting stays paused: push-agent resume JOB, or --all")
