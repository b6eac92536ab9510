"""What a program prints, into a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping

from agent.auth.said import LEAST_SECRET, blot
from agent.config.model import CommandSource
from agent.config.programs import distrust
from agent.errors import SourceError
from agent.logs import blotter
from agent.programs import Ended, Program, run_program
from agent.pull.landing import Landing

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHOWN = 400
"""Characters of its stderr that are told."""


def print_out(
    source: CommandSource, landing: Landing, allowed: Collection[str], cancelled: Callable[[], bool]
) -> str:
    """Run it; what it had to say on stderr when all went well. Blocks. Raises SourceError."""
    program = source.command[0]
    if program not in allowed:
        hint = f"allow it in agent.yaml: `commands: {{allow: [{program}]}}`"
        raise SourceError(f"the program {program} is not allowed to run", hint=hint, lasting=True)
    if (wrong := distrust(program)) is not None:
        raise SourceError(wrong.message, hint=wrong.hint)
    environment = {"PATH": _PATH}
    environment |= {name: os.environ[name] for name in source.environment if name in os.environ}
    order = Program(
        command=source.command,
        environment=environment,
        folder=source.folder,
        timeout=source.timeout.total_seconds(),
        max_bytes=source.max_bytes,
    )
    with landing.open():
        ended = run_program(order, lambda piece: landing.take("", piece), cancelled)
        _judge(source, ended, environment)
    return _errors(ended, environment)


def _judge(source: CommandSource, ended: Ended, environment: Mapping[str, str]) -> None:
    name = source.command[0].rpartition("/")[2]
    hint = "run it by hand, as the user of the agent; stderr says why"
    match ended.how:
        case "exit" if ended.code in source.success:
            return
        case "exit" if ended.code < 0:
            said = f"{name} was killed by signal {-ended.code}"
        case "exit":
            said = f"{name} ended with {ended.code}"
        case "timeout":
            said = f"{name} did not end within {source.timeout.total_seconds():g} s and was killed"
            hint = "a longer `timeout` of the source, or less to do for it"
        case "too much":
            said = f"{name} printed more than {source.max_bytes:,} bytes and was killed"
            hint = "raise `max_bytes` of the source, or let it print less"
        case "not started":
            said = f"{name} cannot be started: {ended.why}"
        case "cancelled":
            raise SourceError(f"{name}: reading was cancelled")
        case _:
            said = f"{name} was killed from outside"
    if told := _errors(ended, environment):
        said += f": {told}"
    raise SourceError(said, hint=hint)


def _errors(ended: Ended, environment: Mapping[str, str]) -> str:
    """The start of stderr in one line, without the values it was given and what looks like a secret."""
    hidden = {one for one in environment.values() if len(one) >= LEAST_SECRET and not one.startswith("/")}
    text = blot(ended.errors.decode("utf-8", "replace"), hidden)
    words = " ".join("".join(c if c.isprintable() else " " for c in blotter.clean(text)).split())
    return words[:_SHOWN] + ("…" if len(words) > _SHOWN else "")
