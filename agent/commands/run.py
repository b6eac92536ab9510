"""`push-agent run`: the daemon."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from agent.commands.options import config_option, state_option


@click.command(
    epilog="""\b
Examples:
  push-agent run                                         as the service does
  push-agent run --config ./config --state ./state       from a checkout

Signals: SIGTERM and SIGINT stop (requests in flight end first), SIGHUP reloads.
Exit codes: 0 stopped as asked, 75 another process owns the state or its disk is full,
78 config or state cannot be used.
"""
)
@config_option
@state_option
def command(config: Path, state: Path | None) -> int:
    """Run the daemon in the foreground: schedule, collect, deliver, reload."""
    with _signals_from_the_first_moment():
        gc.disable()  # what is imported stays: to look through it again and again is a tenth of the start
        from agent.clock import SystemClock  # noqa: PLC0415 - the heavy half of the agent
        from agent.daemon import run_daemon  # noqa: PLC0415

        gc.freeze()
        gc.enable()
        return run_daemon(config, state.absolute() if state else None, SystemClock())


@contextlib.contextmanager
def _signals_from_the_first_moment() -> Iterator[None]:
    """Until the daemon sees to its signals itself, after half a second of imports.

    SIGHUP asks for what the start does anyway, and must not kill; a stop ends what has not begun.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
