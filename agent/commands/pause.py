"""`push-agent pause`: a job, or what goes over a connection, stands still until it is resumed."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands.moments import seconds_of
from agent.commands.options import config_option, output_option, print_json, state_option
from agent.commands.pausing import ask, parts_of, tell, wish


@click.command(
    epilog="""\b
Examples:
  push-agent pause gps-positions                                  neither collected nor delivered
  push-agent pause gps-positions --for 2h --reason "their release"
  push-agent pause --connection simacan-stg --delivering          the spool fills up meanwhile
  push-agent pause planning-csv devices --collecting              what is spooled still leaves
  push-agent pause --all --delivering
"""
)
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@config_option
@state_option
@output_option
@click.option("--connection", "connections", multiple=True, metavar="NAME", help="What goes over it.")
@click.option("--all", "everything", is_flag=True, help="All jobs there are now.")
@click.option("--collecting", is_flag=True, help="Start no runs; what is spooled is delivered.")
@click.option("--delivering", is_flag=True, help="Send nothing; what is due is collected.")
@click.option("--for", "span", metavar="DURATION", help="Such as 30m or 2h. [default: until it is resumed]")
@click.option(
    "--reason", default="", metavar="TEXT", help="Shown by status, in the log, and with each skipped run."
)
def command(  # noqa: PLR0917 - one for each option
    jobs: tuple[str, ...],
    config: Path,
    state: Path | None,
    output: str,
    connections: tuple[str, ...],
    everything: bool,  # noqa: FBT001
    collecting: bool,  # noqa: FBT001
    delivering: bool,  # noqa: FBT001
    span: str | None,
    reason: str,
) -> int:
    """Let JOBs, or what goes over a connection, stand still: also after a restart, until it is resumed.

    What is under way ends: a run that is reading, and requests that were sent. A paused job is neither
    collected nor delivered, unless --collecting or --delivering names the half that is meant. A connection
    that is paused carries nothing: jobs that deliver over it wait, and jobs that read over it are not run.

    When it goes on, what fell into the pause was missed: the `missed` of each schedule decides what is
    caught up. Works with a running daemon and without one.
    """
    wanted = wish(
        jobs,
        connections,
        everything=everything,
        parts=parts_of(collecting=collecting, delivering=delivering),
        reason=reason,
        seconds=None if span is None else seconds_of("--for", span),
    )
    answer = ask("pause", wanted, config, state)
    if output == "json":
        print_json(answer)
    else:
        tell(answer, wanted)
    return 0
