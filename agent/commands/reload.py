"""`push-agent reload`: make the daemon load changed files now, and wait for what came of it."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.errors import EXIT_CONFIG
from agent.web.client import call_and_wait

# The daemon settles files and compiles the changed jobs; ten thousand of them take seconds.
PATIENCE = 60.0


@click.command(
    epilog="""\b
Examples:
  push-agent reload            1 changed, 11 unchanged, 1 rejected (gps.yaml:14)
  systemctl reload push-agent  the same
"""
)
@config_option
@state_option
@output_option
def command(config: Path, state: Path | None, output: str) -> int:
    """Make the running daemon load changed files now.

    Exit code 78 when a file was rejected; the daemon goes on with its last good version.
    """
    answer = call_and_wait(state_folder(config, state), "reload", {}, timeout=PATIENCE)
    problems = answer["problems"]
    assert isinstance(problems, list)
    if output == "json":
        print_json(answer)
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        click.echo(str(answer["summary"]))
    return EXIT_CONFIG if answer["rejected"] else 0
