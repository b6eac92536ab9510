"""`type: excel`: a sheet of a workbook (.xlsx, .xlsm, .xlsb, .xls, .ods). Dates are dates, not numbers.

A column has the type that all of its cells have: number, date, time, true or false; where they differ, text.
An empty cell is null, an empty row is no record. The sheet is written as Parquet beside, and read as such; it
is a process of its own that does it (`workbook`), since a small file may need more memory than there is, and
more time than anybody has.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.cells import read_cells
from agent.config.model import ExcelSource
from agent.errors import SourceError
from agent.sources import parquet
from agent.sources.interrupt import POLL
from agent.sources.relation import Opened, Relation, Uses
from agent.sources.workbook import MEMORY, Order

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WORKBOOK = Path(__file__).with_name("workbook.py")
PROCESSOR_SECONDS = 300
"""A workbook of the largest size takes a tenth of it."""
SECONDS = 900.0
"""The same on the clock: of a process that waits for a disk that never answers."""
_AS_CSV = "save the sheet as CSV"


def convert(file: Opened, source: ExcelSource, temp: Path, cancelled: Callable[[], bool]) -> Opened:
    """The sheet as Parquet in `temp`.

    Raises SourceError where it is not there, cannot be read within the limits, or is not wanted any more.
    """
    _calamine()
    target = temp / "sheet.parquet"
    order = Order(
        name=file.name,
        sheet=source.sheet,
        header_row=source.header_row,
        target=str(target),
        seconds=PROCESSOR_SECONDS,
    )
    if source.range is not None and (cells := read_cells(source.range)) is not None:
        order = replace(
            order, header_row=cells.top + 1, left=cells.left, right=cells.right, bottom=cells.bottom
        )
    ended = _ended(file, order, cancelled)
    if ended.returncode:
        raise _why(file, ended)
    return replace(file, reading=str(target), gzipped=False)


def _ended(file: Opened, order: Order, cancelled: Callable[[], bool]) -> subprocess.CompletedProcess[bytes]:
    """The process, at its end. However this one is left, that one is gone."""
    until = time.monotonic() + SECONDS
    with Path(file.reading).open("rb") as plain:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-I", "-B", str(_WORKBOOK), json.dumps(asdict(order))],
            stdin=plain,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={},
        )
    with process:  # its end is waited for
        try:
            while True:
                try:
                    said = process.communicate(timeout=POLL)
                except subprocess.TimeoutExpired:
                    _go_on(file, until, cancelled)
                else:
                    return subprocess.CompletedProcess(process.args, process.returncode, *said)
        finally:
            process.kill()  # nothing, if it has ended


def _go_on(file: Opened, until: float, cancelled: Callable[[], bool]) -> None:
    """Raises SourceError when it has been enough."""
    if cancelled():
        raise SourceError(f"{file.name}: reading was cancelled")
    if time.monotonic() > until:  # another time it may be faster
        said = f"{file.name}: cannot be read as a workbook within {SECONDS / 60:g} minutes"
        raise SourceError(said, hint=f"does its disk answer? else {_AS_CSV}")


def relation(con: DuckDBPyConnection, file: Opened, source: ExcelSource, uses: Uses) -> Relation:
    """The rows of the sheet. Raises SourceError when columns are missing."""
    return parquet.relation(con, file, source, uses)


def _calamine() -> None:
    try:
        import python_calamine  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise SourceError(
            "type: excel needs an extra: pip install 'push-agent[excel]'", hint="or save the sheet as CSV"
        ) from error


def _why(file: Opened, ended: subprocess.CompletedProcess[bytes]) -> SourceError:
    if ended.stdout:
        message, hint = json.loads(ended.stdout)
        return SourceError(message, hint=hint, lasting=True)
    if ended.returncode == -signal.SIGXCPU:
        limit = f"{PROCESSOR_SECONDS / 60:g} minutes of processor time"
        said = f"{file.name}: cannot be read as a workbook within {limit}"
        return SourceError(said, hint=_AS_CSV, lasting=True)
    hint = f"is there a cell far away from all others? else {_AS_CSV}"
    if ended.returncode < 0 or b"MemoryError" in ended.stderr or b"memory allocation" in ended.stderr:
        said = f"{file.name}: cannot be read as a workbook within {MEMORY // 1_000_000_000} GB of memory"
        return SourceError(said, hint=hint, lasting=True)
    last = (ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["it ended without a word"])[-1]
    return SourceError(f"{file.name}: cannot be read as a workbook: {last[:200]}", hint=hint, lasting=True)
