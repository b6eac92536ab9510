"""`type: file`: each file is one body, byte for byte. DuckDB is not needed and not loaded."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from agent.config.model import FileSource
from agent.errors import SourceError
from agent.sources.files import pieces
from agent.sources.relation import Opened, require

LONGEST_HEADER = 1 << 20
"""Bytes in which the first line must end when `columns` are checked."""


def whole(descriptor: int, source: FileSource, *, path: str) -> Iterator[bytes]:
    """The content of an open file, in pieces. Raises SourceError when columns are missing."""
    if source.columns:
        _check(descriptor, source, path)
    yield from pieces(descriptor)


def _check(descriptor: int, source: FileSource, path: str) -> None:
    file = Opened(path=path, reading=path, gzipped=False)
    start = b""
    for piece in pieces(descriptor):
        start += piece
        if b"\n" in piece or len(start) >= LONGEST_HEADER:
            break
    try:
        lines = start[:LONGEST_HEADER].decode("utf-8-sig", "surrogateescape").splitlines()
        there = tuple(next(csv.reader(lines, delimiter=source.delimiter), ()))
    except csv.Error as error:
        raise SourceError(f"{file.name} line 1: cannot be read: {error}", lasting=True) from error
    if not there:
        raise SourceError(f"{file.name} is empty: there is no header", lasting=True)
    require(file, source.columns, there)
