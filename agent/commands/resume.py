"""`push-agent resume`: what was paused goes on."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands.options import config_option, output_option, print_json, state_option
from agent.commands.pausing import ask, parts_of, tell, wish


@click.command(
    epilog="""\b
Examples:
  push-agent resume gps-positions
  push-agent resume --connection simacan-stg
  push-agent resume planning-csv --delivering     what is spooled leaves; nothing new is collected
  push-agent resume --all                         whatever is paused
"""
)
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@config_option
@state_option
@output_option
@click.option("--connection", "connections", multiple=True, metavar="NAME", help="What goes over it.")
@click.option("--all", "everything", is_flag=True, help="All that is paused, connections too.")
@click.option("--collecting", is_flag=True, help="This half only.")
@click.option("--delivering", is_flag=True, help="This half only.")
def command(  # noqa: PLR0917 - one for each option
    jobs: tuple[str, ...],
    config: Path,
    state: Path | None,
    output: str,
    connections: tuple[str, ...],
    everything: bool,  # noqa: FBT001
    collecting: bool,  # noqa: FBT001
    delivering: bool,  # noqa: FBT001
) -> int:
    """Let paused JOBs, or what goes over a connection, go on.

    Lanes send at once. Of the runs that fell into the pause, the `missed` of each schedule says which are
    made up for (default: the latest); the others are recorded as skipped. Works with a running daemon and
    without one.
    """
    parts = parts_of(collecting=collecting, delivering=delivering)
    wanted = wish(jobs, connections, everything=everything, parts=parts)
    answer = ask("resume", wanted, config, state)
    if output == "json":
        print_json(answer)
    else:
        tell(answer, wanted)
    return 0
