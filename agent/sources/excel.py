"""`type: excel`: a sheet of a workbook (.xlsx, .xlsm, .xlsb, .xls, .ods). Dates are dates, not numbers.

A column has the type that all of its cells have: number, date, time, true or false; where they differ, text.
An empty cell is null, an empty row is no record. The sheet is written as Parquet beside, and read as such.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from agent.config.cells import read_cells
from agent.config.model import ExcelSource
from agent.errors import SourceError
from agent.sources import parquet
from agent.sources.relation import LONGEST_NAME, Opened, Relation, Uses, unique

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from python_calamine import CalamineSheet, CalamineWorkbook

LARGEST = 500_000_000
"""Bytes of XML: a workbook is read into memory."""
_EXACT = 2**53  # a workbook holds numbers as doubles
Cell: TypeAlias = "int | float | str | bool | time | date | datetime | timedelta"


def prepare(file: Opened, source: ExcelSource, temp: Path) -> Opened:
    """The sheet as Parquet in `temp`. Raises SourceError where it is not there, or cannot be read."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - whole-file jobs do without

    table = _table(file, source)
    target = temp / "sheet.parquet"
    pq.write_table(table, target, compression="none")
    return replace(file, reading=str(target), gzipped=False)


def relation(con: DuckDBPyConnection, file: Opened, source: ExcelSource, uses: Uses) -> Relation:
    """The rows of the sheet. Raises SourceError when columns are missing."""
    return parquet.relation(con, file, source, uses)


def _table(file: Opened, source: ExcelSource) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415

    calamine = _calamine()
    _check_size(file)
    try:
        with Path(file.reading).open("rb") as plain, calamine.CalamineWorkbook.from_filelike(plain) as book:
            names, rows = _cells(file, source, _sheet(file, source, book))
    except (calamine.CalamineError, OSError, zipfile.BadZipFile) as error:
        said = f"{file.name}: cannot be read as a workbook: {error}"
        raise SourceError(said, hint="is it complete, and without a password?", lasting=True) from error
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table({name: _column(pa, cells) for name, cells in zip(names, columns, strict=True)})


def _calamine() -> ModuleType:
    try:
        import python_calamine  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SourceError(
            "type: excel needs an extra: pip install 'push-agent[excel]'", hint="or save the sheet as CSV"
        ) from error
    return python_calamine


def _check_size(file: Opened) -> None:
    """A workbook is a zip archive of XML: a small one may unpack to anything."""
    with Path(file.reading).open("rb") as plain:
        if not zipfile.is_zipfile(plain):
            return
        size = sum(part.file_size for part in zipfile.ZipFile(plain).infolist())
    if size > LARGEST:
        said = f"{file.name}: unpacks to {size // 1_000_000} MB, more than {LARGEST // 1_000_000} MB"
        raise SourceError(said, hint="save the sheet as CSV", lasting=True)


def _sheet(file: Opened, source: ExcelSource, book: CalamineWorkbook) -> CalamineSheet:
    names = book.sheet_names
    if isinstance(source.sheet, str):
        if source.sheet in names:
            return book.get_sheet_by_name(source.sheet)
    elif (source.sheet or 1) <= len(names):
        return book.get_sheet_by_index((source.sheet or 1) - 1)
    hint = f"sheets there are: {', '.join(name[:LONGEST_NAME] for name in names[:30])}"
    raise SourceError(f"{file.name}: there is no sheet {source.sheet!r}", hint=hint, lasting=True)


def _cells(
    file: Opened, source: ExcelSource, sheet: CalamineSheet
) -> tuple[tuple[str, ...], list[list[Cell]]]:
    rows, at = sheet.to_python(skip_empty_area=False), source.header_row
    if source.range is not None and (cells := read_cells(source.range)) is not None:
        at = cells.top + 1
        rows = [row[cells.left : cells.right + 1] for row in rows[: cells.bottom + 1]]
    header = [str(cell).strip() for cell in rows[at - 1]] if len(rows) >= at else []
    while header and not header[-1]:
        header.pop()
    if not header:
        raise SourceError(f"{file.name} row {at}: there is no header", lasting=True)
    if "" in header:
        column = header.index("") + 1
        raise SourceError(f"{file.name} row {at}: column {column} has no name", lasting=True)
    unique(file, tuple(header))
    width = len(header)
    body = [row[:width] for row in rows[at:]]
    return tuple(header), [row for row in body if any(cell != "" for cell in row)]


def _column(arrow: ModuleType, cells: Iterable[Cell]) -> pa.Array:
    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        whole = all(value is None or _is_whole(value) for value in values)
        return arrow.array(values, arrow.float64()).cast(arrow.int64() if whole else arrow.float64())
    if kinds <= {datetime, date} and kinds:
        if kinds == {date}:
            return arrow.array(values, arrow.date32())
        return arrow.array([_midnight(value) for value in values], arrow.timestamp("us"))
    if len(kinds) == 1 and kinds <= {bool, time}:
        return arrow.array(values)
    return arrow.array([None if value is None else _text(value) for value in values], arrow.string())


def _is_whole(value: Cell) -> bool:
    return isinstance(value, int | float) and float(value).is_integer() and abs(value) < _EXACT


def _midnight(value: Cell | None) -> Cell | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    return value


def _text(value: Cell) -> str:
    if isinstance(value, float) and _is_whole(value):
        return str(int(value))
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)
