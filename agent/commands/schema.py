"""`push-agent schema`: the JSON Schemas, for editors and other validators."""

from __future__ import annotations

import click

from agent.commands.options import print_json

KINDS = ("agent", "connection", "job")


@click.command(
    epilog="""\b
Examples:
  push-agent schema job > /etc/push-agent/job.schema.json
  # yaml-language-server: $schema=../job.schema.json     (first line of a job file)
"""
)
@click.argument("kind", type=click.Choice(KINDS), default="job")
def command(kind: str) -> None:
    """Print the JSON Schema (draft 2020-12) of a KIND of file: agent, connection or job."""
    from agent.config.schema import read_schema  # noqa: PLC0415 - jsonschema costs 130 ms

    print_json(read_schema(kind))
