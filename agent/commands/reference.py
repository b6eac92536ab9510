"""The whole reference: every key of every file (from the schemas), every command (from click).

`push-agent schema all --output markdown` prints it; `docs/REFERENCE.md` is its output.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator

import click

from agent.commands import cli

KINDS = ("agent", "connection", "job")

_HEAD = """\
# Reference

Made by `push-agent schema all --output markdown` from the schemas and the commands themselves; a test holds
that it is up to date. Examples to start from are in `examples/`.

| file | what |
|---|---|
| `agent.yaml` | the daemon's own settings; optional |
| `connections/*.yaml` | one platform per file |
| `jobs/*.yaml` | one job per file |
| `secrets/` | one file per secret, readable by its owner only |

All below the config folder: `--config`, else `$PUSH_AGENT_CONFIG`, else `/etc/push-agent`. Files ending in
`~`, `.tmp`, `.swp`, `.bak`, `.disabled` or starting with `.` are no config.
"""

_SECRETS = """\
### Secrets

A secret never stands in a file of the config. Where a key wants one, it is told where the secret is:

| reference | where the secret is |
|---|---|
"""


def reference() -> str:
    """The whole document."""
    from agent.config.schema import read_schema  # noqa: PLC0415 - jsonschema costs 130 ms
    from agent.reference import schema_reference  # noqa: PLC0415 - beside its use

    schemas = {kind: read_schema(kind) for kind in KINDS}
    parts = [_HEAD]
    for kind in KINDS:
        parts.append(schema_reference(schemas[kind]))
        if kind == "connection":
            parts.append(_secrets(schemas[kind]))
    return "\n".join([*parts, *_commands()])


def _secrets(schema: object) -> str:
    """The three ways to refer to a secret, in the schema's words."""
    assert isinstance(schema, dict)
    properties = schema["$defs"]["secret"]["properties"]
    rows = [
        f"| `{name}` | {one['description']} `{{{name}: {one['examples'][0]}}}` |"
        for name, one in properties.items()
    ]
    return _SECRETS + "\n".join(rows) + "\n"


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    yield _exit_codes()
    context = click.Context(cli, info_name="push-agent")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield from _command(f"push-agent {name}", command, "###")


def _exit_codes() -> str:
    import agent.commands as package  # noqa: PLC0415 - its docstring is where they are listed

    told = (package.__doc__ or "").partition("Exit codes: ")[2].replace("\n", " ").strip(" .")
    lines = ["Exit codes:", "", "| code | meaning |", "|---|---|"]
    for one in told.split(" · "):
        code, _, meaning = one.partition(" ")
        lines.append(f"| {code} | {meaning} |")
    return "\n".join(lines) + "\n"


def _command(title: str, command: click.Command, mark: str) -> Iterator[str]:
    """One command and those below it."""
    context = click.Context(command, info_name=title)
    yield f"{mark} `{title}`\n"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"
    arguments = [_argument(one) for one in command.params if isinstance(one, click.Argument)]
    group = isinstance(command, click.Group)
    yield f"    {' '.join([title, '[OPTIONS]', *arguments, *(['COMMAND'] if group else [])])}\n"
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        yield ("\n".join(["| option | what |", "|---|---|", *[_option(one) for one in options]]) + "\n")
    if command.epilog:
        yield textwrap.indent(command.epilog.replace("\b\n", "").strip(), "    ") + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(f"{title} {name}", inner, mark + "#")


def _argument(argument: click.Argument) -> str:
    name = (argument.name or "").upper() + ("..." if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: click.Option) -> str:
    words = "/".join([*option.opts, *option.secondary_opts])
    variable = f" Also `${option.envvar}`." if option.show_envvar else ""
    told = (option.help or "").partition(" [default: ")
    default = f" Default: {told[2].rstrip(']')}." if told[1] else _default(option)
    return f"| `{words}{_value(option)}` | {told[0]}{default}{variable} |"


def _value(option: click.Option) -> str:
    """What comes after the option's name."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + " or ".join(str(choice) for choice in option.type.choices)
    words = {"integer range": "N", "integer": "N", "float range": "NUMBER", "directory": "DIR"}
    return " " + words.get(option.type.name, option.type.name.upper())


def _default(option: click.Option) -> str:
    if not option.show_default or option.default is None:
        return ""
    shown = option.default
    if isinstance(shown, bool):
        shown = option.opts[0] if shown else option.secondary_opts[0]
    return f" Default: `{shown}`."
