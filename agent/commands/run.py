"""`push-agent run`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands.options import config_option, state_option


@click.command(
    epilog="""\b
Examples:
  push-agent run                                         as the service does
  push-agent run --config ./config --state ./state       from a checkout

Signals: SIGTERM and SIGINT stop (requests in flight end first), SIGHUP reloads.
Exit codes: 0 stopped as asked, 75 another process owns the state, 78 config or state cannot be used.
"""
)
@config_option
@state_option
def command(config: Path, state: Path | None) -> int:
    """Run the daemon in the foreground: schedule, collect, deliver, reload."""
    from agent.clock import SystemClock  # noqa: PLC0415 - the heavy half of the agent
    from agent.daemon import run_daemon  # noqa: PLC0415

    return run_daemon(config, state.absolute() if state else None, SystemClock())
