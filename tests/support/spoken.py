"""A command of the command line, run in this process: it costs no start of a process, and says the same."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from agent.commands import run_command_line
from agent.logs import blotter


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """What came of it, named as by `subprocess.run`."""

    returncode: int
    stdout: str
    stderr: str


def speak(*arguments) -> Spoken:
    """Run it as a new process would: it knows no secret that others learned, and its logs go to its stderr."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    everybody, ours = logging.getLogger(), logging.getLogger("push_agent")
    handlers, levels = everybody.handlers[:], (everybody.level, ours.level)
    blotter.forget()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run_command_line([str(argument) for argument in arguments])
    finally:
        blotter.forget()
        everybody.handlers[:] = handlers
        everybody.setLevel(levels[0])
        ours.setLevel(levels[1])
    said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return Spoken(returncode=code, stdout=next(said), stderr=next(said))
