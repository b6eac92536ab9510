"""`push-agent schema`: the JSON Schemas, for editors and other validators, and the reference for people."""

from __future__ import annotations

import click

from agent.commands.options import print_json

KINDS = ("agent", "connection", "job")


@click.command(
    epilog="""\b
Examples:
  push-agent schema job > /etc/push-agent/job.schema.json
  # yaml-language-server: $schema=../job.schema.json     (first line of a job file)
  push-agent schema job --output markdown      every key of a job file, explained
  push-agent schema all --output markdown      the whole reference, with the commands
"""
)
@click.argument("kind", type=click.Choice([*KINDS, "all"]), default="job")
@click.option(
    "--output",
    "output",
    type=click.Choice(["json", "markdown"]),
    default="json",
    show_default=True,
    help="A JSON Schema, or a page for people.",
)
def command(kind: str, output: str) -> None:
    """Print the JSON Schema (draft 2020-12) of a KIND of file: agent, connection or job.

    As markdown: a reference of its keys, made from the schema.
    """
    from agent.config.schema import read_schema  # noqa: PLC0415 - jsonschema costs 130 ms

    if output == "json":
        print_json({each: read_schema(each) for each in KINDS} if kind == "all" else read_schema(kind))
    elif kind == "all":
        from agent.commands.reference import reference  # noqa: PLC0415 - it imports every command

        click.echo(reference(), nl=False)
    else:
        from agent.reference import schema_reference  # noqa: PLC0415 - beside its use

        click.echo(schema_reference(read_schema(kind), level=1), nl=False)
