"""A CSV file with line ends within quotes, cut where records end: DuckDB reads it part by part.

Of a large file it would begin to read in the midst, and take lines of a text in quotes for records. And if it
is told to begin at the beginning alone, it keeps all that it has read, and says nothing of a last quote that
does not end. A part is read from its beginning and let go of at its end, and two of them at a time. Its first
line end is what DuckDB takes for that of records: each part begins with a header that has the right one.

    ┌ text ──────────────────────┬──────┐
    │ records, all of them ended │ held │ → the next text begins with what is held
    └── a part ──────────────────┴──────┘
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING

from agent.errors import RecordError
from agent.sources.longest import LONGEST_LINE

if TYPE_CHECKING:
    from _csv import Reader as _Reader

PART = 4_000_000
"""Bytes of a part, if no record is longer. DuckDB holds two or three."""
SLICE = 1 << 17
ENDLESS = "a quote that does not end"
_HINT = "quotes inside a field are doubled (RFC 4180); or was the file cut off?"
_last = itemgetter(-1)

csv.field_size_limit(LONGEST_LINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How fields are told apart: one character each."""

    delimiter: str
    quote: str
    header: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Some records of a file, as a file of its own, behind a header of one line."""

    path: str
    lines: int
    """Of the file, before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A file in parts."""

    parts: tuple[Part, ...]
    longest: int
    """Bytes of the longest part: no record is longer."""
    dialect: Dialect

    def line(self, path: str, number: int) -> int:
        """The line of the file in which line `number` of a part begins, as DuckDB counts. Reads the part."""
        return self.lines(path, [number])[0]

    def lines(self, path: str, numbers: list[int]) -> list[int]:
        """The same for many, in order: a record over several lines counts as one, the header too."""
        part = next((part for part in self.parts if part.path == path), None)
        if part is None:
            return numbers
        found: list[int] = []
        with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as text:
            reader, passed = lenient(text, self.dialect), 0
            for number in numbers:
                between = max(number - 1 - passed, 0)
                next(islice(reader, between, between), None)  # no Python for each of them
                passed += between
                found.append(part.lines + reader.line_num)
        return found


@dataclass(kw_only=True, slots=True)
class _Writer:
    """The parts so far."""

    folder: Path
    header: bytes = b"c\n"
    lines: int = 0
    longest: int = 1
    parts: list[Part] = field(default_factory=list)

    def skip(self, text: bytes) -> None:
        self.lines += _line_ends(text)

    def write(self, text: bytes) -> None:
        path = self.folder / f"part{len(self.parts):05d}.csv"
        with path.open("wb") as out:
            out.write(self.header)
            out.write(text)
        self.parts.append(Part(path=str(path), lines=self.lines))
        self.longest = max(self.longest, len(self.header), len(text))
        self.skip(text)


def cut(file: IO[bytes], dialect: Dialect, folder: Path, *, name: str, most: int, lines: int = 0) -> Cut:
    """Cut a file, which is UTF-8, into parts in `folder`; they need as much room as it.

    `most` is what a record may have, in bytes; `lines` stand before the file, and are counted in errors.
    Raises RecordError naming the line of a quote that does not end.
    """
    writer = _Writer(folder=folder)
    text = file.read(PART).removeprefix(codecs.BOM_UTF8)
    while (first := _first(text, dialect)).size == len(text) <= most and (more := file.read(PART)):
        text += more
    writer.header = dialect.delimiter.join("c" * first.fields).encode() + first.end
    if dialect.header:
        writer.skip(text[: first.size])
        text = text[first.size :]
    while True:
        ended, whole = _ended(text, dialect)
        if ended:
            writer.write(text[:ended])
        text = text[ended:]
        if len(text) > most:
            said = f"{name} line {lines + writer.lines + 1}: {ENDLESS}, or a record of more than "
            raise RecordError(f"{said}{most // 1_000_000} MB", hint=_HINT)
        more = file.read(max(PART, len(text)))
        if not more:
            break
        text += more
    if not whole:
        raise RecordError(f"{name} line {lines + writer.lines + 1}: {ENDLESS}", hint=_HINT)
    if text or not writer.parts:
        writer.write(text)
    return Cut(parts=tuple(writer.parts), longest=writer.longest, dialect=dialect)


def _ended(text: bytes, dialect: Dialect) -> tuple[int, bool]:
    """Bytes of the records of `text` that have ended with a line end; and whether all quotes have ended."""
    mark = dialect.quote.encode()
    inside = _sound(text, mark, dialect.delimiter.encode())
    if inside is None:
        return _followed(text, dialect)
    for end in (b"\n", b"\r"):  # a last \r may be half of a line end
        stop = len(text) - (end == b"\r" and text.endswith(end))
        if found := _last_end(text, mark, end, stop, inside=inside):
            return found, not inside
    return 0, not inside


def _sound(text: bytes, mark: bytes, delimiter: bytes) -> bool | None:
    """Whether the text ends within quotes; None where a quote opens in the midst of a field.

    What stands outside of quotes is every other piece between them. It must end with a delimiter or a line
    end; and nothing stands between two quotes that are one.
    """
    if len(delimiter) > 1:
        text, delimiter = text.replace(delimiter, b"\n"), b"\n"
    before = {*b"\r\n", *delimiter}
    inside, start = False, 0
    while start < len(text):  # a slice that stays in the processor's cache takes half the time
        end = text.find(b"\n", start + SLICE) + 1 or len(text)
        between = text[start:end].split(mark)
        if not before.issuperset(map(_last, filter(None, between[inside:-1:2]))):
            return None
        inside ^= len(between) % 2 == 0
        start = end
    return inside


def _last_end(text: bytes, mark: bytes, end: bytes, stop: int, *, inside: bool) -> int:
    """The place behind the last line end before `stop` that is not within quotes; 0: there is none.

    `inside`: whether `stop` is within quotes.
    """
    while found := text.rfind(end, 0, stop) + 1:
        inside ^= bool(text.count(mark, found, stop) % 2)
        if not inside:
            return found
        stop = text.rfind(mark, 0, found)  # no line ends outside of quotes before the one that opens does
        inside = False
    return 0


def _followed(text: bytes, dialect: Dialect) -> tuple[int, bool]:
    """As `_ended`, field by field: a quote in the midst of one pairs with none."""
    with _decoded(text) as opened:
        lines = opened.readlines()
    reader = lenient(iter([*lines, "\n"]), dialect)
    ends = [0, *(reader.line_num for _ in reader)]
    whole = ends[-2] == len(lines)  # then the line behind them is a record of its own
    full = len(lines) - (not text.endswith(b"\n"))
    return _bytes_of(lines[: max(end for end in ends if end <= full)]), whole


@dataclass(frozen=True, kw_only=True, slots=True)
class _First:
    """The first record: its bytes, its fields, and the line end behind it, which all others have."""

    size: int
    fields: int
    end: bytes


def _first(text: bytes, dialect: Dialect) -> _First:
    with _decoded(text) as opened:
        reader = lenient(opened, dialect)
        fields = len(next(reader, ()))
        count = reader.line_num
    with _decoded(text) as opened:
        size = _bytes_of(list(islice(opened, count)))
    end = next((end for end in (b"\r\n", b"\n", b"\r") if text.endswith(end, 0, size)), b"\n")
    return _First(size=size, fields=max(fields, 1), end=end)


def _decoded(text: bytes) -> io.StringIO:
    return io.StringIO(text.decode("utf-8", "surrogateescape"), newline="")


def _bytes_of(lines: list[str]) -> int:
    return len("".join(lines).encode("utf-8", "surrogateescape"))


def lenient(lines: Iterable[str], dialect: Dialect) -> _Reader:
    """Fields as DuckDB takes them, which lets a space stand before a quote; a bad one ends with its line."""
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        skipinitialspace=dialect.delimiter != " ",
    )


def _line_ends(text: bytes) -> int:
    count = text.count(b"\n")
    return count + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else count
