"""`push-agent auth check`: why does signing in not work? Step by step, each with what to do."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.check_screen import check_screen
from agent.commands.options import config_option, on_terminal, output_option, state_option
from agent.commands.screen import bad, good
from agent.errors import ConfigError, UsageError, no_connection
from agent.phrases import counted
from agent.web.client import is_living

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.config.model import Connection
    from agent.doctor import Report, Step, Wish


@click.command(
    "check",
    epilog="""\b
Examples:
  push-agent auth check platform                every step, with the token there is
  push-agent auth check platform --refresh      a new token, too
  push-agent auth check platform --no-sign-in   the way there only
  push-agent auth check platform --output json  for programs

Exit codes: 0 all is well (warnings are allowed), 1 a step failed, 2 there is no such connection,
78 its file is wrong.
""",
)
@click.argument("connection")
@config_option
@state_option
@output_option
@click.option("--refresh", is_flag=True, help="Ask for a new token even while the one there is good.")
@click.option("--no-sign-in", is_flag=True, help="Leave out all that needs a token.")
def command(
    connection: str, config: Path, state: Path | None, output: str, *, refresh: bool, no_sign_in: bool
) -> int:
    """Find out why signing in to CONNECTION, or reaching it, does not work.

    Looks at its file, its secrets, and for each origin at DNS, TCP, TLS (certificates and how long they
    last), the clocks and an HTTP answer; then signs in and makes one call without a body (HEAD) to each
    endpoint. Nothing is delivered, and no secret is shown: the report can be mailed to the platform.

    The stored token is used, or renewed by refresh. A login is only made where the daemon would make one:
    when there is no token, or the platform wants it, and never while `login_limit` forbids it. With a
    running daemon, the daemon signs in; without one, this command takes the state folder.
    """
    if refresh and no_sign_in:
        raise UsageError("--refresh and --no-sign-in exclude each other", hint="leave one of them out")
    wish = _wish(config, state, connection)
    wish = replace(wish, refresh=refresh, sign_in=not no_sign_in)
    report = _examine(wish, quiet=output == "json")
    if output == "json":
        _print_json(report)
    else:
        click.echo(_sum(report))
    return 0 if report.healthy else 1


def _wish(config: Path, state: Path | None, name: str) -> Wish:
    """What there is to examine. Raises ConfigError, UsageError."""
    from agent.config import load  # noqa: PLC0415 - yaml and jsonschema
    from agent.doctor import Wish  # noqa: PLC0415 - the heavy half of the agent

    loaded = load(config)
    connection = _find(loaded, config, name)
    settings = loaded.plan.settings
    if state is not None:
        settings = replace(settings, state=state.absolute())
    warnings = [each for each in loaded.problems if each.file == connection.where.file]
    return Wish(
        connection=connection,
        warnings=[each for each in warnings if each.severity == "warning"],
        settings=settings,
        config=config.absolute(),
        daemon=is_living(settings.state),
    )


def _find(loaded: Loaded, config: Path, name: str) -> Connection:
    connection = loaded.plan.connections.get(name)
    if connection is not None:
        return connection
    wrong = tuple(each for each in loaded.errors if "jobs" not in Path(each.file).parts)
    if wrong:
        raise ConfigError(wrong)
    raise no_connection(name, loaded.plan.connections, config)


def _examine(wish: Wish, *, quiet: bool) -> Report:
    import asyncio  # noqa: PLC0415 - beside its use

    from agent.clock import SystemClock  # noqa: PLC0415
    from agent.doctor import Examination  # noqa: PLC0415
    from agent.logs import set_up_logs  # noqa: PLC0415

    # The report says all that the log would say, and its lines would break the screen.
    logs = None if os.environ.get("PUSH_AGENT_TRACEBACK") else io.StringIO()
    set_up_logs("warning", wish.settings.log_format, stream=logs)
    try:
        with check_screen(quiet=quiet, live=on_terminal()) as screen:
            return asyncio.run(Examination(wish, screen, SystemClock()).run())
    finally:
        set_up_logs("warning", wish.settings.log_format)


def _print_json(report: Report) -> None:
    import json  # noqa: PLC0415 - beside its use

    from agent.logs import blotter  # noqa: PLC0415

    value = {
        "connection": report.connection,
        "daemon": report.daemon,
        "healthy": report.healthy,
        "steps": [_as_json(step) for step in report.steps],
    }
    click.echo(blotter.clean(json.dumps(value, indent=2, ensure_ascii=False)))


def _as_json(step: Step) -> dict[str, Any]:
    return {
        "step": step.name,
        "place": step.place,
        "mark": step.verdict.mark,
        "seconds": round(step.seconds, 3),
        "says": step.verdict.says,
        "details": list(step.verdict.details),
        "hint": step.verdict.hint,
        "data": dict(step.verdict.data),
    }


def _sum(report: Report) -> str:
    marks = [step.verdict.mark for step in report.steps]
    failed, warned, left_out = (marks.count(mark) for mark in ("failed", "warning", "skipped"))
    words = [counted(len(marks) - left_out, "step")]
    if failed:
        words.append(f"{failed} failed")
    if warned:
        words.append(counted(warned, "warning"))
    if left_out:
        words.append(f"{left_out} left out")
    told = f"{report.connection}: " + ", ".join(words)
    return good("good: ") + told if report.healthy else bad("not well: ") + told
