"""`type: csv`: RFC 4180. Columns are text unless `types` says otherwise.

An empty field is null; an empty field in quotes (`""`) is the empty text, where the column is text.
Blank lines are no records (in a file of one column they are: one null each).
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.model import CsvSource
from agent.errors import RecordError, SourceError
from agent.mapping import literal
from agent.sources import duck
from agent.sources.longest import PIECE, PLAIN_LINE, USUAL_LINE, Measured, measure
from agent.sources.packed import BUFFERED, check_lines, check_packed
from agent.sources.parts import Dialect, cut, lenient
from agent.sources.relation import Column, Opened, Relation, Uses, require, typed, unique

if TYPE_CHECKING:
    from _csv import Reader as _Reader

    from duckdb import DuckDBPyConnection

BUFFER = 1_000_000
"""Bytes of the file that DuckDB reads at once, beside the longest record. It holds two or three
such buffers at a time, and is no faster with larger ones."""
NEVER = "\n"
"""What no field without quotes can be."""
MANY = 200
"""Columns beyond which a row may have empty fields too many."""
_ESCAPED = 0xDC00
"""Where Python puts a byte that is no UTF-8 (PEP 383)."""


def prepare(file: Opened, source: CsvSource, temp: Path) -> Opened:
    """The file as DuckDB can read it: as UTF-8, and in parts where line ends stand within quotes, in `temp`.

    Raises RecordError naming the line of a byte that is nothing in the encoding, or of a quote without end.
    """
    if source.encoding != "utf-8":
        file = replace(file, reading=str(_decoded(file, source, temp)), gzipped=False)
    measured = _measured(file, source.quote)
    file = replace(file, measured=measured)
    _check_widths(file, source)
    if not measured.folded:
        return file
    dialect = Dialect(delimiter=source.delimiter, quote=source.quote, header=source.header)
    most = max(measured.longest, USUAL_LINE)
    try:
        with _opened(file) as binary:
            parts = cut(binary, dialect, temp, name=file.name, most=most, lines=file.lines)
    except OSError as error:
        said = f"{file.name}: cannot be cut into parts: {error.strerror or error}"
        raise SourceError(
            said, hint="it needs room in the state folder, as much as the unpacked file"
        ) from error
    return replace(file, cut=parts)


def _decoded(file: Opened, source: CsvSource, temp: Path) -> Path:
    check_packed(file)
    target = temp / "utf-8.csv"  # not the name of the file: that may be as long as a name can be
    decoder = codecs.getincrementaldecoder(_codec(file, source))()
    lines = 1
    with _opened(file) as binary, target.open("w", encoding="utf-8", newline="") as out:
        while True:
            piece = binary.read(1 << 20)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                raise _undecodable(file, source, error, lines) from error
            out.write(text)
            lines += text.count("\n")
            if not piece:
                return target


def _undecodable(file: Opened, source: CsvSource, error: UnicodeDecodeError, lines: int) -> RecordError:
    """`lines`: the line in which the piece begins that could not be decoded."""
    before = error.object[: error.start].decode(error.encoding, "replace")
    wrong = error.object[error.start : error.end].hex(" ")
    line = file.lines + lines + before.count("\n")
    return RecordError(
        f"{file.name} line {line}: the byte {wrong} is not {source.encoding}",
        hint="check `encoding` of the source",
    )


def _codec(file: Opened, source: CsvSource) -> str:
    """UTF-16 without a byte order mark is little-endian here: that is what Windows writes."""
    if source.encoding != "utf-16":
        return source.encoding
    with _opened(file) as binary:
        marked = binary.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return "utf-16" if marked else "utf-16-le"


def relation(con: DuckDBPyConnection, file: Opened, source: CsvSource, uses: Uses) -> Relation:
    """The rows of a CSV file. Raises SourceError when columns are missing, doubled or not there at all."""
    del uses  # text costs little: every column is there
    file = replace(file, measured=file.measured or _measured(file, source.quote))
    header = names(file, source)
    unique(file, header) if source.header else None
    require(file, (*source.columns, *source.types), header)
    inner = tuple(f"__c{number}" for number in range(len(header)))
    types = _sniffed(con, file, source, header) if source.sniff else dict(source.types)
    columns: list[Column] = []
    checks: list[str] = []
    for name, column in zip(header, inner, strict=True):
        if types.get(name, "VARCHAR").upper() in ("VARCHAR", "TEXT", "STRING"):
            columns.append(Column(name=name, sql=column))
        else:
            read, check = typed(name, column, types[name])
            columns.append(read)
            checks.append(check)
    shown = (
        "concat('[', concat_ws(',', "
        + ", ".join(f"coalesce(to_json({c}), 'null')" for c in inner)
        + "), ']')"
    )
    return Relation(
        base=f"SELECT {_columns(file, inner)} FROM {_reader(file, source, inner)}",
        columns=tuple(columns),
        names=header,
        entries=tuple((name, column.sql) for name, column in zip(header, columns, strict=True)),
        shown=shown,
        checks=tuple(checks),
        rejects=source.on_bad_row == "dead_letter",
        typed_by="" if file.cut else file.reading,
        line_of=partial(line_of, file, source),
    )


def _reader(file: Opened, source: CsvSource, inner: tuple[str, ...]) -> str:
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in inner)
    rejects = ", store_rejects=true" if source.on_bad_row == "dead_letter" else ""
    paths = (file.reading,) if file.cut is None else tuple(part.path for part in file.cut.parts)
    return (
        f"read_csv([{', '.join(map(literal, paths))}], columns={{{columns}}}, {_dialect(file, source)}, "
        f"auto_detect=false, nullstr={literal('' if _own(file, len(inner)) else NEVER)}, "
        f"allow_quoted_nulls=false{rejects})"
    )


def _columns(file: Opened, inner: tuple[str, ...]) -> str:
    return ", ".join(inner if _own(file, len(inner)) else (f"nullif({name}, '') AS {name}" for name in inner))


def _own(file: Opened, columns: int) -> bool:
    """Whether DuckDB itself must tell which empty fields are null: it alone knows which stand in quotes.

    Otherwise we do: where an empty text is null to DuckDB, it lets a row have empty fields too many. But in a
    file of one column a blank line would be no record then, and of many columns it takes memory.
    """
    return not 1 < columns <= MANY or file.measured is None or file.measured.doubled


def _check_widths(file: Opened, source: CsvSource) -> None:
    """Refuse a file where DuckDB would not tell of a row with empty fields too many. Raises RecordError.

    Its other fields may be those of other columns: `Smith, John,` of `name,phone`.
    """
    width = len(names(file, source))
    if not _own(file, width) or not _ends_empty(file, source.delimiter.encode()):
        return
    dialect = Dialect(delimiter=source.delimiter, quote=source.quote, header=source.header)
    with _text(file) as text:
        if max(map(len, lenient(text, dialect)), default=0) <= width:  # no Python per record
            return
    with _text(file) as text:
        reader = lenient(text, dialect)
        for fields in reader:
            if len(fields) > width and not any(fields[width:]):
                line = reader.line_num + file.lines
                said = f"{file.name} line {line}: {len(fields)} fields instead of {width}"
                raise RecordError(said, hint="is a field not in quotes that holds a delimiter?")


def _ends_empty(file: Opened, delimiter: bytes) -> bool:
    """Whether a line ends with a delimiter."""
    last = b""
    with _opened(file) as binary:
        while piece := binary.read(PIECE):
            piece = last + piece
            if piece.rfind(delimiter + b"\n") >= 0 or piece.rfind(delimiter + b"\r") >= 0:
                return True
            last = piece[-len(delimiter) :]
    return last == delimiter


def _dialect(file: Opened, source: CsvSource) -> str:
    header = source.header or file.cut is not None
    return (
        f"header={'true' if header else 'false'}, delim={literal(source.delimiter)}, "
        f"quote={literal(source.quote)}, escape={literal(source.quote)}, strict_mode=true, "
        f"{storage(file, source.quote)}"
    )


def _sniffed(
    con: DuckDBPyConnection, file: Opened, source: CsvSource, header: tuple[str, ...]
) -> dict[str, str]:
    """Types by looking at the whole file: a type that holds for the first rows only would lose the rest."""
    whole = replace(file, cut=None)
    reader = f"read_csv({literal(file.reading)}, {_dialect(whole, source)}, parallel=false, sample_size=-1)"
    found = duck.rows(con, f"DESCRIBE SELECT * FROM {reader}")
    return {name: str(row[1]) for name, row in zip(header, found, strict=False)} | dict(source.types)


def storage(file: Opened, quote: str = "") -> str:
    """Options of read_csv about how the text is stored. Raises as `check_lines` where it was not measured."""
    if file.cut is not None:  # one reader for each part: a long one may be larger than a buffer
        longest = max(file.cut.longest, PLAIN_LINE)
        return f"max_line_size={longest}, buffer_size={longest + BUFFER}, compression='none', parallel=false"
    longest = (file.measured or _measured(file, quote)).longest
    buffer, compression = (BUFFERED * longest, "gzip") if file.gzipped else (longest + BUFFER, "none")
    return f"max_line_size={longest}, buffer_size={buffer}, compression='{compression}'"


def _measured(file: Opened, quote: str) -> Measured:
    return check_lines(file, quote=quote) if file.gzipped else measure(Path(file.reading), quote)


def names(file: Opened, source: CsvSource) -> tuple[str, ...]:
    """The columns of the file: its first record, or `column0`, `column1`, … without a header."""
    with _records(file, source) as reader:
        try:
            first = next(reader, None)
            "".join(first or ()).encode()  # what is no UTF-8 was read as lone surrogates
        except UnicodeEncodeError as error:
            byte = ord(error.object[error.start]) - _ESCAPED
            hint = "check `encoding` of the source"
            raise RecordError(f"{file.name} line 1: the byte {byte:02x} is not utf-8", hint=hint) from None
        except (csv.Error, UnicodeError) as error:
            raise RecordError(f"{file.name} line 1: the header cannot be read: {error}") from error
    if not first:
        said = f"{file.name} is empty: " + ("there is no header" if source.header else "there is no record")
        raise SourceError(said, lasting=True)
    return tuple(first) if source.header else tuple(f"column{number}" for number in range(len(first)))


def line_of(file: Opened, source: CsvSource, row: int) -> int | None:
    """The line on which record `row` ends; from 1, without the header and rows that have too few fields."""
    with _records(file, source) as reader:
        try:
            width = 0
            seen = -1 if source.header else 0
            for fields in reader:
                width = width or len(fields)
                seen += len(fields) == width
                if seen == row:
                    return int(reader.line_num) + file.lines
        except csv.Error:
            return None
    return None


@contextmanager
def _records(file: Opened, source: CsvSource) -> Iterator[_Reader]:
    with _text(file) as text:
        if source.quote:
            yield csv.reader(text, delimiter=source.delimiter, quotechar=source.quote, strict=True)
        else:
            yield csv.reader(text, delimiter=source.delimiter, quoting=csv.QUOTE_NONE)


@contextmanager
def _text(file: Opened) -> Iterator[io.TextIOWrapper]:
    # the file that `reading` names is UTF-8 always: `prepare` saw to it
    with (
        _opened(file) as binary,
        io.TextIOWrapper(binary, "utf-8-sig", "surrogateescape", newline="") as text,
    ):
        yield text


@contextmanager
def _opened(file: Opened) -> Iterator[io.BufferedReader]:
    with Path(file.reading).open("rb") as plain:
        if file.gzipped:
            with gzip.GzipFile(fileobj=plain) as unpacked:
                yield io.BufferedReader(unpacked)
        else:
            yield plain
