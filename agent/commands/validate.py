"""`push-agent validate`: all errors of all files at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands.options import config_option, output_option, print_json
from agent.commands.screen import bad, good, note
from agent.errors import EXIT_CONFIG, Problem, UsageError
from agent.phrases import counted

if TYPE_CHECKING:
    from agent.config import Loaded


@click.command(
    epilog="""\b
Examples:
  push-agent validate                                  everything in /etc/push-agent
  push-agent validate /etc/push-agent/jobs/gps.yaml    what is wrong with one file
  push-agent validate --strict --config ./config       warnings are errors, too (for CI)
"""
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@config_option
@output_option
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--no-secrets", is_flag=True, help="Do not look whether the secrets and TLS files are there.")
def command(paths: tuple[Path, ...], config: Path, output: str, *, strict: bool, no_secrets: bool) -> int:
    """Check the config, or only PATHS of it (files, or a whole config folder).

    Expressions are compiled against the real columns where a source's file is there.
    Exit code 78 when something is wrong.
    """
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise UsageError("give one config folder, or files of one", hint="push-agent validate --help")
    folder = folders[0] if folders else _folder_of(paths, config)
    loaded, problems = check(folder, secrets=not no_secrets)
    if paths and not folders:
        wanted = {path.resolve() for path in paths}
        problems = [problem for problem in problems if Path(problem.file).resolve() in wanted]
    wrong = [problem for problem in problems if strict or problem.severity == "error"]
    if output == "json":
        print_json(
            {
                "ok": not wrong,
                "jobs": sorted(loaded.plan.jobs),
                "connections": sorted([*loaded.plan.connections, *loaded.plan.databases]),
                "problems": [dataclasses.asdict(problem) for problem in problems],
            }
        )
    else:
        _tell(loaded, problems)
    return EXIT_CONFIG if wrong else 0


def check(folder: Path, *, secrets: bool) -> tuple[Loaded, list[Problem]]:
    """Load and check everything that `validate` promises; the problems in the order of files and lines."""
    from agent.config import SecretStore, check_secrets, load  # noqa: PLC0415 - yaml and jsonschema
    from agent.tls import check_files  # noqa: PLC0415 - beside its use

    loaded = load(folder)
    problems = list(loaded.problems)
    if secrets:
        problems += check_secrets(loaded.plan, SecretStore(folder.absolute()))
        problems += check_files(loaded.plan.connections.values())
    problems += _expressions(loaded)
    return loaded, sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))


def _expressions(loaded: Loaded) -> list[Problem]:
    import tempfile  # noqa: PLC0415 - beside its use

    from agent.check import check_job  # noqa: PLC0415 - DuckDB, when a job needs it
    from agent.clock import SystemClock  # noqa: PLC0415
    from agent.render import Context  # noqa: PLC0415

    settings = loaded.plan.settings
    with tempfile.TemporaryDirectory(prefix="push-agent-") as temp:
        context = Context(
            temp=Path(temp),
            memory=settings.collect_memory,
            threads=settings.collect_threads,
            clock=SystemClock(),
            cancelled=lambda: False,
        )
        return [problem for job in loaded.plan.jobs.values() for problem in check_job(job, context)]


def _folder_of(paths: Sequence[Path], config: Path) -> Path:
    """The config folder that the files belong to: the one above `jobs/`, or the file's own."""
    if not paths:
        return config
    parent = paths[0].absolute().parent
    return parent.parent if parent.name in {"jobs", "connections"} else parent


def _tell(loaded: Loaded, problems: list[Problem]) -> None:
    for problem in problems:
        kind = bad("error: ") if problem.severity == "error" else note("warning: ")
        click.echo(kind + str(problem), err=True)
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    plan = loaded.plan
    connections = len(plan.connections) + len(plan.databases)
    what = f"{counted(len(plan.jobs), 'job')}, {counted(connections, 'connection')}"
    if errors:
        click.echo(bad(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}") + f"; good: {what}")
    else:
        rest = f", {counted(warnings, 'warning')}" if warnings else ""
        click.echo(good("ok: ") + what + rest)
