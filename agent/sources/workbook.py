"""Started as a process of its own: a sheet of the workbook on standard input → a Parquet file.

The library holds a whole rectangle of cells: one cell in the last row and column of a small file makes it
550 GB, and a library that gets no memory ends its process. It holds Python's lock for seconds, too. Here
memory and time are bounded, and nobody waits for the lock. This file is run by its path: it imports nothing
of us.
"""

from __future__ import annotations

import json
import resource
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa
    from python_calamine import CalamineSheet, CalamineWorkbook

LARGEST = 500_000_000
"""Bytes of XML: a workbook is read into memory."""
MEMORY = 2_000_000_000
"""Bytes that this process may have."""
_LONGEST_NAME = 100
"""Characters that are told."""
_EXACT = 2**53  # a workbook holds numbers as doubles
Cell: TypeAlias = "int | float | str | bool | time | date | datetime | timedelta"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is wanted."""

    name: str
    """Of the workbook, for people."""
    sheet: str | int | None
    header_row: int
    """From 1."""
    left: int = 0
    """Columns and rows from 0; the last ones are in it."""
    right: int | None = None
    bottom: int | None = None
    """None: to the end."""
    target: str
    """Where the sheet is to be written."""
    seconds: int
    """Of processor time that it may take, also when nobody waits for it any more."""


class _UnfitError(Exception):
    """A message and a hint."""


def main() -> None:
    """Take the order from the first argument; on standard output what is wrong and a hint, where it is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    order = Order(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (order.seconds, order.seconds + 1))
    try:
        with open(0, "rb") as plain:  # standard input, which is a file
            table = _table(order, plain)
        import pyarrow.parquet as pq  # noqa: PLC0415 - behind the limits

        pq.write_table(table, order.target, compression="none")
    except _UnfitError as error:
        sys.stdout.write(json.dumps(error.args))
        sys.exit(1)


def _table(order: Order, plain: BinaryIO) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415
    import python_calamine as calamine  # noqa: PLC0415

    try:
        _check_size(order, plain)
        plain.seek(0)
        with calamine.CalamineWorkbook.from_filelike(plain) as book:
            names, rows = _cells(order, _sheet(order, book))
    except (calamine.CalamineError, OSError, zipfile.BadZipFile) as error:
        said = f"{order.name}: cannot be read as a workbook: {error}"
        raise _UnfitError(said, "is it complete, and without a password?") from error
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table({name: _column(pa, cells) for name, cells in zip(names, columns, strict=True)})


def _check_size(order: Order, plain: BinaryIO) -> None:
    """A workbook is a zip archive of XML: a small one may unpack to anything."""
    if not zipfile.is_zipfile(plain):
        return
    size = sum(part.file_size for part in zipfile.ZipFile(plain).infolist())
    if size > LARGEST:
        said = f"{order.name}: unpacks to {size // 1_000_000} MB, more than {LARGEST // 1_000_000} MB"
        raise _UnfitError(said, "save the sheet as CSV")


def _sheet(order: Order, book: CalamineWorkbook) -> CalamineSheet:
    names = book.sheet_names
    if isinstance(order.sheet, str):
        if order.sheet in names:
            return book.get_sheet_by_name(order.sheet)
    elif (order.sheet or 1) <= len(names):
        return book.get_sheet_by_index((order.sheet or 1) - 1)
    hint = f"sheets there are: {', '.join(name[:_LONGEST_NAME] for name in names[:30])}"
    raise _UnfitError(f"{order.name}: there is no sheet {order.sheet!r}", hint)


def _cells(order: Order, sheet: CalamineSheet) -> tuple[tuple[str, ...], list[list[Cell]]]:
    at, end = order.header_row, None if order.right is None else order.right + 1
    rows = sheet.to_python(skip_empty_area=False)[: None if order.bottom is None else order.bottom + 1]
    rows = [row[order.left : end] for row in rows] if order.left or end else rows
    header = [str(cell).strip() for cell in rows[at - 1]] if len(rows) >= at else []
    while header and not header[-1]:
        header.pop()
    if not header:
        raise _UnfitError(f"{order.name} row {at}: there is no header", "")
    if "" in header:
        column = header.index("") + 1
        raise _UnfitError(f"{order.name} row {at}: column {column} has no name", "")
    twice = next((name for number, name in enumerate(header) if name in header[:number]), None)
    if twice is not None:
        raise _UnfitError(f"{order.name}: the column {twice[:_LONGEST_NAME]!r} is there twice", "")
    width = len(header)
    body = [row[:width] for row in rows[at:]]
    return tuple(header), [row for row in body if any(cell != "" for cell in row)]


def _column(arrow: ModuleType, cells: Iterable[Cell]) -> pa.Array:
    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return arrow.nulls(len(values))  # fits any expression
    if kinds <= {int, float}:
        whole = all(value is None or _is_whole(value) for value in values)
        return arrow.array(values, arrow.float64()).cast(arrow.int64() if whole else arrow.float64())
    if kinds <= {datetime, date}:
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


if __name__ == "__main__":
    main()
