"""`type: excel`: a sheet of a workbook (.xlsx, .xlsm, .xlsb, .xls, .ods). Dates are dates, not numbers.

A column has the type that all of its cells have: number, date, time, true or false; where they differ, text.
An empty cell is null, an empty row is no record. The sheet is written as Parquet beside, and read as such; it
is a process of its own that does it (`workbook`), since a small file may need more memory than there is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.cells import read_cells
from agent.config.model import ExcelSource
from agent.errors import SourceError
from agent.sources import parquet
from agent.sources.relation import Opened, Relation, Uses
from agent.sources.workbook import MEMORY, Order

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WORKBOOK = Path(__file__).with_name("workbook.py")


def prepare(file: Opened, source: ExcelSource, temp: Path) -> Opened:
    """The sheet as Parquet in `temp`. Raises SourceError where it is not there, or cannot be read."""
    _calamine()
    target = temp / "sheet.parquet"
    order = Order(name=file.name, sheet=source.sheet, header_row=source.header_row, target=str(target))
    if source.range is not None and (cells := read_cells(source.range)) is not None:
        order = replace(
            order, header_row=cells.top + 1, left=cells.left, right=cells.right, bottom=cells.bottom
        )
    with Path(file.reading).open("rb") as plain:
        ended = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-I", "-B", str(_WORKBOOK), json.dumps(asdict(order))],
            stdin=plain,
            capture_output=True,
            cwd="/",
            env={},
            check=False,
        )
    if ended.returncode:
        raise _why(file, ended)
    return replace(file, reading=str(target), gzipped=False)


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
    hint = "is there a cell far away from all others? else save the sheet as CSV"
    if ended.returncode < 0 or b"MemoryError" in ended.stderr or b"memory allocation" in ended.stderr:
        said = f"{file.name}: cannot be read as a workbook within {MEMORY // 1_000_000_000} GB of memory"
        return SourceError(said, hint=hint, lasting=True)
    last = (ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["it ended without a word"])[-1]
    return SourceError(f"{file.name}: cannot be read as a workbook: {last[:200]}", hint=hint, lasting=True)
