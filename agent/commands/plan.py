"""`push-agent plan`: what a reload would change."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands.options import config_option, output_option, print_json, state_option
from agent.commands.screen import bad, good, note
from agent.errors import EXIT_CONFIG, Problem

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.spool import ConfigRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """Files by what a reload would do with them. Paths are below the config folder."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
    rejected: tuple[str, ...]
    kept: tuple[str, ...]
    """Of the rejected: those whose last good version goes on."""
    problems: tuple[Problem, ...]


@click.command(
    epilog="""\b
Examples:
  push-agent plan
  push-agent plan --config ./config --state /var/lib/push-agent
"""
)
@config_option
@state_option
@output_option
def command(config: Path, state: Path | None, output: str) -> int:
    """Show what a reload would change, compared with what the daemon accepted last.

    Changes nothing. Exit code 78 when a file would be rejected.
    """
    from agent.commands.validate import check  # noqa: PLC0415
    from agent.spool import Reader  # noqa: PLC0415 - sqlalchemy costs 250 ms

    loaded, problems = check(config, secrets=True)
    with Reader.open(state or loaded.plan.settings.state) as reader:
        rows = {row.path: row for row in reader.config_rows() if not row.deleted and row.kind != "schema"}
    planned = compare(loaded, problems, rows, config)
    if output == "json":
        print_json(dataclasses.asdict(planned))
    else:
        _tell(planned)
    return EXIT_CONFIG if planned.problems else 0


def compare(loaded: Loaded, problems: list[Problem], rows: dict[str, ConfigRow], folder: Path) -> Planned:
    """The folder as it is against the texts that were accepted last."""
    errors = tuple(problem for problem in problems if problem.severity == "error")
    # the folder itself is no file: its problem (it is missing, others may write to it) stands alone
    wrong = {_below(problem.file, folder) for problem in errors} - {"."}
    good_files = {path: sha for path, sha in loaded.files.items() if path not in wrong}
    return Planned(
        added=tuple(sorted(path for path in good_files if path not in rows)),
        changed=tuple(
            sorted(path for path, sha in good_files.items() if path in rows and rows[path].sha256 != sha)
        ),
        removed=tuple(sorted(path for path in rows if path not in loaded.files)),
        unchanged=tuple(
            sorted(path for path, sha in good_files.items() if path in rows and rows[path].sha256 == sha)
        ),
        rejected=tuple(sorted(wrong)),
        kept=tuple(sorted(path for path in wrong if path in rows)),
        problems=errors,
    )


def _below(file: str, folder: Path) -> str:
    path = Path(file).absolute()
    root = folder.absolute()
    return str(path.relative_to(root)) if path.is_relative_to(root) else file


def _tell(planned: Planned) -> None:
    for problem in planned.problems:
        click.echo(bad("error: ") + str(problem), err=True)
    marks = (
        (good("+ add      "), planned.added),
        (note("~ change   "), planned.changed),
        (note("- remove   "), planned.removed),
    )
    for mark, paths in marks:
        for path in paths:
            click.echo(mark + path)
    for path in planned.rejected:
        rest = "its last good version goes on" if path in planned.kept else "it would not run"
        click.echo(bad("! reject   ") + f"{path} ({rest})")
    if planned.unchanged or not _changes(planned):
        click.echo(f"{len(planned.unchanged)} unchanged")


def _changes(planned: Planned) -> bool:
    return bool(planned.added or planned.changed or planned.removed or planned.problems)
