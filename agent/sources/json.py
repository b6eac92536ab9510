"""`type: json`: an array of objects, or one object. The whole file is one JSON text (RFC 8259).

With `records` they are taken from a place inside of it.
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

import gzip
import shutil
from codecs import BOM_UTF8
from dataclasses import replace
from functools import partial
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config.model import JsonSource
from agent.errors import RecordError, SourceError
from agent.mapping import literal
from agent.sources import documents, duck
from agent.sources.files import PIECE
from agent.sources.packed import check_packed
from agent.sources.pointed import span_of
from agent.sources.relation import Opened, Relation, Uses

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

USUAL_OBJECT, LARGEST_OBJECT = 16_000_000, 64_000_000
"""Bytes of one record. DuckDB takes memory for several of the largest there may be: what it takes at least is
tried first, and fails in time where a record is longer."""
SPACE = b" \t\r\n"


def prepare(file: Opened, source: JsonSource, temp: Path) -> Opened:
    """The file as DuckDB can read it: one with a byte order mark is copied without it into `temp`.

    With `records`, only what stands there is copied. Raises SourceError when nothing does.
    """
    check_packed(file)
    if source.records:
        return replace(file, reading=str(_taken(file, source.records, temp)), gzipped=False)
    with Path(file.reading).open("rb") as plain:
        content = gzip.GzipFile(fileobj=plain) if file.gzipped else plain
        if content.read(3) != BOM_UTF8:
            return file
        target = temp / "no-mark.json"
        with target.open("wb") as out:
            shutil.copyfileobj(content, out)
        return replace(file, reading=str(target), gzipped=False)


def _taken(file: Opened, pointer: str, temp: Path) -> Path:
    whole = Path(file.reading)
    if file.gzipped:
        whole = temp / "whole.json"
        with Path(file.reading).open("rb") as packed, whole.open("wb") as out:
            shutil.copyfileobj(gzip.GzipFile(fileobj=packed), out)
    span = span_of(whole, pointer, file.name)
    if span is None:
        said = f"{file.name}: there is nothing at {pointer}"
        raise SourceError(said, hint="check `records` of the source", lasting=True)
    taken = temp / "records.json"
    with whole.open("rb") as text, taken.open("wb") as out:
        text.seek(span[0])
        left = span[1] - span[0]
        if text.read(min(left, 4)) == b"null":
            out.write(b"[]")
            return taken
        text.seek(span[0])
        while left:
            piece = text.read(min(left, PIECE))
            out.write(piece)
            left -= len(piece)
    return taken


def relation(con: DuckDBPyConnection, file: Opened, source: JsonSource, uses: Uses) -> Relation:
    """The records of a JSON file.

    Raises SourceError when it is empty or holds neither array nor object, RecordError when it breaks off.
    """
    import duckdb  # noqa: PLC0415

    first = _first_byte(file)
    if first not in (b"[", b"{"):
        said = "is empty" if not first else "holds neither an array nor an object"
        raise SourceError(f"{file.name} {said}", lasting=True)
    if first == b"[" and _last_byte(file) == b",":  # DuckDB takes it for whole
        raise RecordError(f"{file.name}: the array does not end: is the file complete?")
    shape = "array" if first == b"[" else "unstructured"
    try:
        found = _over(con, file, source, uses, shape, USUAL_OBJECT)
    except duckdb.Error as error:
        if "maximum_object_size" not in str(error):
            raise
        found = _over(con, file, source, uses, shape, _largest(file))
    return found


def _over(  # noqa: PLR0917 - what `relation` knows, passed on
    con: DuckDBPyConnection, file: Opened, source: JsonSource, uses: Uses, shape: str, largest: int
) -> Relation:
    """The relation, after all of the file was read once. Raises duckdb.Error where a record is larger."""
    texts = (
        f"SELECT CAST(json AS VARCHAR) AS __l FROM read_json_objects({literal(file.reading)}, "
        f"format={literal(shape)}, maximum_object_size={largest}, "
        f"compression={literal('gzip' if file.gzipped else 'none')})"
    )
    if not documents.reads_all(source, uses):
        duck.rows(con, f"SELECT count(__l) FROM ({texts})")
    return documents.over(con, file, source, uses, texts, lambda _row: None)


def _largest(file: Opened) -> int:
    if file.gzipped:
        return LARGEST_OBJECT
    return min(max(Path(file.reading).stat().st_size, USUAL_OBJECT), LARGEST_OBJECT)


def _first_byte(file: Opened) -> bytes:
    with Path(file.reading).open("rb") as plain:
        content = gzip.GzipFile(fileobj=plain) if file.gzipped else plain
        while piece := content.read(4096):
            if piece.strip(SPACE):
                return piece.lstrip(SPACE)[:1]
    return b""


def _last_byte(file: Opened) -> bytes:
    """The last one that is no space."""
    last = b""
    with Path(file.reading).open("rb") as plain:
        if file.gzipped:
            for piece in iter(partial(gzip.GzipFile(fileobj=plain).read, PIECE), b""):
                last = piece.rstrip(SPACE)[-1:] or last
            return last
        end = plain.seek(0, SEEK_END)
        while end and not last:
            end = plain.seek(max(end - PIECE, 0))
            last = plain.read(PIECE).rstrip(SPACE)[-1:]
    return last
