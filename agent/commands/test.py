"""`push-agent test`: given records, expected requests."""

from __future__ import annotations

import contextlib
import difflib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands.options import config_option, on_terminal, print_json
from agent.commands.screen import bad, good, note
from agent.errors import ConfigError, UsageError
from agent.phrases import counted

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.config.model import Job
    from agent.testing import Result

SHOWN = 500
"""Characters of a value in a difference; `--output json` has all."""


_CLEAR = "\r\x1b[K"
_WIDTH = 78


@click.command(
    epilog="""\b
Examples:
  push-agent test                               the tests of all jobs
  push-agent test gps-positions                 those of one
  push-agent test --config ./config --output junit > report.xml      for a CI server
  push-agent dry-run gps-positions --as-test    writes a test to start from
"""
)
@click.argument("jobs", nargs=-1)
@config_option
@click.option(
    "--output",
    type=click.Choice(["text", "json", "junit"]),
    default="text",
    show_default=True,
    help="For people, for programs, or for a CI server.",
)
def command(jobs: tuple[str, ...], config: Path, output: str) -> int:
    """Run the `tests:` of JOBS, or of all jobs: given records, expected requests.

    The requests are made exactly as a run makes them. No network, no state. Exit code 1 when a test fails.
    """
    from agent.testing.report import as_json, as_junit  # noqa: PLC0415 - beside its use

    loaded, chosen = _chosen(config, jobs)
    results = []
    for result in _run(loaded, chosen, progress=output == "text" and on_terminal()):
        results.append(result)
        if output == "text":
            _tell(result, first=len(results) == 1 or results[-2].job != result.job)
    failed = sum(not result.passed for result in results)
    if output == "json":
        print_json(as_json(results))
    elif output == "junit":
        click.echo(as_junit(results))
    else:
        _sum(results, failed)
    return 1 if failed else 0


def _chosen(config: Path, names: Sequence[str]) -> tuple[Loaded, list[Job]]:
    """The jobs to test. What is wrong with the config counts where one of them may be what is wrong."""
    from agent.config import load  # noqa: PLC0415

    loaded = load(config)
    there = loaded.plan.jobs
    missing = [name for name in names if name not in there]
    if loaded.errors and (missing or not names):
        raise ConfigError(loaded.errors)
    for name in missing:
        near = difflib.get_close_matches(name, there, n=1)
        known = ", ".join(sorted(there)) or "none"
        hint = f"did you mean {near[0]}?" if near else f"the jobs there are: {known}"
        raise UsageError(f"there is no job {name!r} in {config}", hint=hint)
    return loaded, [there[name] for name in dict.fromkeys(names)] if names else list(there.values())


def _run(loaded: Loaded, jobs: Sequence[Job], *, progress: bool) -> Iterator[Result]:
    from agent.clock import SystemClock  # noqa: PLC0415
    from agent.render import Context  # noqa: PLC0415
    from agent.testing import run_test  # noqa: PLC0415
    from agent.testing.report import one_line  # noqa: PLC0415

    settings = loaded.plan.settings
    count = sum(len(job.tests) for job in jobs)
    with tempfile.TemporaryDirectory(prefix="push-agent-") as temp, _progress(count, shown=progress) as step:
        context = Context(
            temp=Path(temp),
            memory=settings.collect_memory,
            threads=settings.collect_threads,
            clock=SystemClock(),
            cancelled=lambda: False,
        )
        for job in jobs:
            connection = loaded.plan.connections[job.target.connection]
            for test in job.tests:
                step(one_line(f"{job.name}: {test.name}"))
                result = run_test(job, connection, test, context)
                step.clear()
                yield result


class _Step:
    """Says which test runs, where a person looks."""

    def __init__(self, count: int, *, shown: bool) -> None:
        self._count = count
        self._done = 0
        self._shown = shown

    def __call__(self, what: str) -> None:
        self._done += 1
        if self._shown:
            line = f"{self._done} of {self._count}  {what}"
            click.echo(f"{_CLEAR}{line[:_WIDTH]}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo(_CLEAR, nl=False, err=True)


@contextlib.contextmanager
def _progress(count: int, *, shown: bool) -> Iterator[_Step]:
    step = _Step(count, shown=shown)
    try:
        yield step
    finally:
        step.clear()


def _tell(result: Result, *, first: bool) -> None:
    from agent.logs import blotter  # noqa: PLC0415 - beside its use
    from agent.testing.report import lines, one_line  # noqa: PLC0415

    if first:
        click.echo(click.style(result.job, bold=True))
    where, name = result.test.where, one_line(result.test.name)
    if result.passed:
        click.echo(f"  {good('ok')}      {name}")
        return
    click.echo(f"  {bad('FAILED')}  {name}  ({where.file}:{where.line})")
    for failure in result.failures:
        place, expected, got = (blotter.clean(line) for line in lines(failure))
        click.echo(f"      {place}")
        click.echo(f"      {good(_cut(expected))}")
        click.echo(f"      {bad(_cut(got))}")


def _cut(line: str) -> str:
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}… (--output json shows all)"


def _sum(results: Sequence[Result], failed: int) -> None:
    if not results:
        click.echo(note("no tests: ") + "a job's tests stand in its file, see `tests:` in docs/TESTING.md")
        return
    jobs = counted(len({result.job for result in results}), "job")
    what = f"{counted(len(results), 'test')} of {jobs}"
    click.echo(bad(f"{failed} failed: ") + what if failed else good("ok: ") + what)
