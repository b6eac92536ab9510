"""A part of a growing log: the complete records behind the place that was reached, in a file of their own.

A record is complete when its line end is there, outside of quotes. What is not complete waits.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent.config.model import CsvSource, NdjsonSource
from agent.errors import RecordError
from agent.sources.log_mark import Mark, prints
from agent.sources.logs import MovedError

MOST = 64_000_000
"""Bytes of a part, unless one record is longer."""
LONGEST = 64_000_000
"""Bytes of one record: they are held in memory until its end is found."""
LONGEST_OPEN = 16_000_000
"""Bytes that may stand behind a quote that does not end; then it is taken for a mistake."""
_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Records that are complete."""

    copy: Path
    """They alone; a CSV with its header before them."""
    source: CsvSource | NdjsonSource
    """How the copy is read."""
    lines: int
    """Lines of the log before the first of the copy; -1 where the copy has a header of its own."""
    sha256: str
    mark: Mark
    """Where it begins."""
    behind: Mark
    """Where it ends; without its records, which are not counted yet."""


def cut(  # noqa: PLR0917
    descriptor: int,
    name: str,
    mark: Mark,
    source: CsvSource | NdjsonSource,
    limit: int,
    copy: Path,
    most: int = MOST,
) -> Part | None:
    """Copy the next part of an open log to `copy`; None when there is no complete record.

    `limit`: bytes of the log that count now. Raises MovedError, and RecordError naming the line of a record
    that is too long.
    """
    at = _beginning(descriptor, name, mark, source, limit)
    if at is None:
        return None
    digest, size, lines = hashlib.sha256(), 0, 0
    with copy.open("wb") as out:
        out.write(at.first)
        if mark.end:  # what was complete is, whatever the job says of quotes now
            pieces = _all(descriptor, at.start, mark.end)
        else:
            pieces = _complete(descriptor, f"{name} line {at.line + 1}", source, at.start, limit)
        for piece in pieces:
            out.write(piece)
            digest.update(piece)
            size += len(piece)
            lines += piece.count(b"\n")
            if size >= most and not mark.end:
                break
    end = at.start + size
    head, tail = prints(descriptor, end)
    if not mark.is_in(descriptor) or os.fstat(descriptor).st_size < limit or mark.end not in {0, end}:
        raise MovedError(f"{name}: was cut off while it was read")
    if not size:
        return None
    mark = replace(mark, header=at.header)
    return Part(
        copy=copy,
        source=at.source,
        lines=at.line - at.first.count(b"\n"),
        sha256=digest.hexdigest(),
        mark=mark,
        behind=replace(
            mark,
            offset=end,
            line=at.line + lines,
            head=head,
            tail=tail,
            size=limit,
            end=0,
            done=0,
            problem="",
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Beginning:
    """Where a part begins, and what its copy begins with."""

    source: CsvSource | NdjsonSource
    start: int = 0
    line: int = 0
    first: bytes = b""
    header: int = 0


def _beginning(
    descriptor: int, name: str, mark: Mark, source: CsvSource | NdjsonSource, limit: int
) -> _Beginning | None:
    """None while the first record of a CSV is not complete."""
    if not isinstance(source, CsvSource):
        return _Beginning(source=source, start=mark.offset, line=mark.line)
    header = _header(descriptor, name, mark, source, limit)
    if not header:
        return None
    if not source.header:
        return _Beginning(
            source=replace(source, header=True),
            start=mark.offset,
            line=mark.line,
            first=_numbered(header, source),
            header=len(header),
        )
    return _Beginning(
        source=source,
        start=mark.offset or len(header),
        line=mark.line if mark.offset else header.count(b"\n"),
        first=header.lstrip(b"\r\n"),
        header=len(header),
    )


def waits(descriptor: int, mark: Mark, limit: int) -> int:
    """Lines behind the last complete record: of a quote that does not end yet."""
    if mark.offset >= limit:
        return 0
    return os.pread(descriptor, min(limit - mark.offset, LONGEST_OPEN), mark.offset).count(b"\n")


def _header(descriptor: int, name: str, mark: Mark, source: CsvSource, limit: int) -> bytes:
    """The first record of the log as it lies; empty while it is not complete."""
    if mark.header:
        header = os.pread(descriptor, mark.header, 0)
        if len(header) < mark.header:
            raise MovedError(f"{name}: was cut off while it was read")
        return header
    start = os.pread(descriptor, min(limit, _PIECE), 0)
    record = _one(source).match(start)
    if record is not None:
        return record.group()
    if len(start) == _PIECE:
        raise RecordError(f"{name} line 1: the first line does not end within 1 MB")
    return b""


def _numbered(first: bytes, source: CsvSource) -> bytes:
    """A header for a CSV that has none: each part then has as many columns as the log's first record."""
    text = io.StringIO(first.decode(source.encoding, "replace"), newline="")
    fields = next(csv.reader(text, delimiter=source.delimiter, quotechar=source.quote), [])
    names = source.delimiter.join(f"column{number}" for number in range(max(len(fields), 1)))
    return f"{names}\n".encode(source.encoding, "replace")


def _all(descriptor: int, start: int, stop: int) -> Iterator[bytes]:
    while start < stop and (piece := os.pread(descriptor, min(_PIECE, stop - start), start)):
        yield piece
        start += len(piece)


def _complete(
    descriptor: int, place: str, source: CsvSource | NdjsonSource, start: int, stop: int
) -> Iterator[bytes]:
    """Complete records from `start` on, many at once."""
    rest, position, again = b"", start, 0
    while position < stop:
        piece = os.pread(descriptor, min(_PIECE, stop - position), position)
        if not piece:
            break
        position += len(piece)
        rest += piece
        if len(rest) < again and position < stop:  # a long record: not looked at from its start each time
            continue
        end = _end(rest, source)
        if not end and len(rest) > LONGEST_OPEN:
            end = rest.rfind(b"\n") + 1
        if end:
            yield rest[:end]
            rest = rest[end:]
        again = 2 * len(rest)
        if len(rest) > LONGEST:
            raise RecordError(
                f"{place} and behind: a record of more than {LONGEST // 1_000_000} MB",
                hint="is a line ending missing?",
            )


def _end(text: bytes, source: CsvSource | NdjsonSource) -> int:
    """Bytes of the complete records at the start of a text, which begins with a record."""
    if (
        isinstance(source, CsvSource)
        and source.quote
        and source.quote.encode(source.encoding, "replace") in text
    ):
        found = _many(source).match(text)
        return found.end() if found is not None else 0
    return text.rfind(b"\n") + 1


def _record(source: CsvSource) -> bytes:
    """A record as a regular expression. A quote counts at the start of a field only, as everywhere."""
    between, quote = (
        re.escape(text.encode(source.encoding, "replace")) for text in (source.delimiter, source.quote)
    )
    one = (
        len(source.delimiter.encode(source.encoding, "replace"))
        == len(source.quote.encode(source.encoding, "replace"))
        == 1
    )
    rest = b"[^%b\\n]*+" % between if one else b"(?:(?!%b)[^\\n])*+" % between
    inner = (
        b"(?:[^%b]++|%b%b)*+" % (quote, quote, quote)
        if one
        else b"(?:(?!%b).|%b%b)*+"
        % (
            quote,
            quote,
            quote,
        )
    )
    field = b"(?:%b%b%b%b|(?!%b)%b)" % (quote, inner, quote, rest, quote, rest)
    return b"%b(?:%b%b)*+\\n" % (field, between, field)


def _one(source: CsvSource) -> re.Pattern[bytes]:
    return re.compile(b"(?:\\r?\\n)*+" + _record(source), re.DOTALL)


def _many(source: CsvSource) -> re.Pattern[bytes]:
    return re.compile(b"(?:%b)*+" % _record(source), re.DOTALL)
