"""`source:` → FileSource, CsvSource and their like."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, TypedDict, cast

from agent.config.build_only import build_only
from agent.config.build_pull import build_command, build_http
from agent.config.build_sql import build_sql
from agent.config.cells import trouble_of
from agent.config.model import (
    CsvSource,
    ExcelSource,
    Files,
    FileSource,
    JsonSource,
    NdjsonSource,
    Only,
    ParquetSource,
    Reading,
    RecordFiles,
    Source,
    Where,
)
from agent.config.view import View

_MANY_BYTES = frozenset({"utf-16", "shift_jis", "euc_kr", "gb18030", "big5"})
"""Encodings in which a byte may be a line end or a quote, and part of a character elsewhere."""


def build_source(source: View) -> Source | None:  # noqa: PLR0911 - one for each type
    """None when its type is none that we know."""
    kind = source.word("type", "")
    if kind == "file":
        default = FileSource(files=Files(paths=()), where=source.where)
        return FileSource(
            files=_files(source),
            once_per=source.word("once_per", default.once_per),
            columns=source.texts("columns"),
            delimiter=source.text("delimiter") or default.delimiter,
            where=source.where,
        )
    if kind == "csv":
        return _csv(source)
    if kind == "http":
        return build_http(source, _reading(source))
    if kind == "command":
        return build_command(source, _reading(source))
    if kind == "json":
        return _json(source)
    if kind == "sql":
        return build_sql(source)
    if kind == "excel":
        return _excel(source)
    kinds = {"ndjson": NdjsonSource, "parquet": ParquetSource}
    made = kinds.get(kind)
    return cast("Source", made(**_common(source))) if made else None


def _reading(source: View) -> Reading:
    """How what comes in is read: as a file of that format is."""
    kind = source.word("format", "json")
    if "records" in source and kind != "json":
        hint = "delete it, or write `format: json`"
        source.found.error(source.at("records"), "only JSON holds records at a place of its own", hint)
    if kind == "csv":
        return _csv(source)
    for key in ("delimiter", "quote", "header", "encoding"):
        if key in source:
            source.found.error(source.at(key), "is for CSV only", "delete it, or write `format: csv`")
    if source.text("types") == "auto":
        source.found.error(source.at("types"), "auto is for CSV only", "JSON has types of its own")
    return NdjsonSource(**_common(source)) if kind == "ndjson" else _json(source)


def _json(source: View) -> JsonSource:
    return JsonSource(**_common(source), records=source.text("records") or "")


class _Common(TypedDict):
    files: Files
    reread: Literal["changed", "always", "appended"]
    on_bad_row: Literal["fail", "dead_letter"]
    only: Only | None
    columns: tuple[str, ...]
    types: Mapping[str, str]
    where: Where


def _common(source: View) -> _Common:
    _grows(source)
    default = RecordFiles(files=Files(paths=()), where=source.where)
    types = source.section("types")
    return _Common(
        files=_files(source),
        reread=source.word("reread", default.reread),
        on_bad_row=source.word("on_bad_row", default.on_bad_row),
        only=build_only(source),
        columns=source.texts("columns"),
        types={name: kind for name in types.tree.entries if (kind := types.text(name))},
        where=source.where,
    )


def _grows(source: View) -> None:
    """What cannot stand beside `reread: appended`."""
    if source.word("reread", "changed") != "appended":
        return
    log = "a log that grows is never complete"
    said = {
        "done": (log, "delete it, and let logrotate take the log away"),
        "failed": (log, "delete it, and let logrotate take the log away"),
        "settle": (f"{log}: its complete lines are read at once", "delete it"),
        "only": ("reread: appended sends what was added, and nothing else", "delete one of the two"),
    }
    for key, (message, hint) in said.items():
        if key in source:
            source.found.error(source.at(key), message, hint)
    if source.text("types") == "auto":
        hint = "name the types, or delete it: columns are text then"
        source.found.error(source.at("types"), "auto would guess anew for each part of a log", hint)
    if source.text("encoding") in _MANY_BYTES:
        hint = "let the log be written in UTF-8"
        source.found.error(source.at("encoding"), "a log in this encoding cannot be read as it grows", hint)
    for (_, where), text in zip(source.items("path"), source.texts("path"), strict=False):
        if text.endswith((".gz", ".zst")):
            hint = "name the log itself, or write `reread: changed`"
            source.found.error(where, "a packed file cannot be read as it grows", hint)


def _excel(source: View) -> ExcelSource:
    cells = source.text("range")
    if cells is not None:
        if "header_row" in source:
            hint = "delete it: the first row of the range holds the column names"
            source.found.error(source.at("header_row"), "cannot stand beside `range`", hint)
        if (wrong := trouble_of(cells)) is not None:
            source.found.error(source.at("range"), *wrong)
    number = source.number("sheet", 0)
    return ExcelSource(
        **_common(source),
        sheet=number or source.text("sheet"),
        range=cells,
        header_row=source.number("header_row", 1),
    )


def _csv(source: View) -> CsvSource:
    default = CsvSource(files=Files(paths=()), where=source.where)
    made = CsvSource(
        **_common(source),
        delimiter=source.text("delimiter") or default.delimiter,
        quote=source.text("quote") or default.quote,
        header=source.flag("header", default=default.header),
        encoding=source.text("encoding") or default.encoding,
        sniff=source.text("types") == "auto",
    )
    for key in ("delimiter", "quote"):
        if source.text(key) in {"\n", "\r", "\0"}:
            source.found.error(source.at(key), "cannot be the end of a line", 'for example ";"')
    if made.delimiter == made.quote:
        key = "delimiter" if "delimiter" in source else "quote"
        source.found.error(source.at(key), "delimiter and quote are the same", "choose another one")
    return made


def _files(source: View) -> Files:
    default = Files(paths=())
    if source.word("type", "") in {"http", "command"}:  # their `path` is another one
        return default
    grows = source.word("reread", "changed") == "appended"  # and so it never settles
    return Files(
        paths=_paths(source),
        settle=source.duration("settle", timedelta(0) if grows else default.settle),
        order=source.word_list("order", default.order),
        done=_move(source, "done"),
        failed=_move(source, "failed"),
    )


def _paths(source: View) -> tuple[str, ...]:
    paths = []
    for (_, where), text in zip(source.items("path"), source.texts("path"), strict=False):
        if "\0" in text or not text.strip():
            source.found.error(where, "is no path")
        elif text.startswith("~"):
            source.found.error(
                where, "~ is not replaced by a home folder here", "write the whole path, from /"
            )
        elif "://" in text:
            source.found.error(where, "is a URL, not a path", "this version reads files")
        elif text.endswith("/"):
            source.found.error(where, "is a folder, not files", f"write {text}* for all files in it")
        paths.append(str(source.folder / text))
    return tuple(paths)


def _move(source: View, key: str) -> str | None:
    section = source.section(key)
    folder = section.text("move")
    if folder is not None and folder.strip().rstrip("/") in {"", "."} and not folder.startswith("/"):
        section.found.error(
            section.at("move"), "is the folder where the file lies already", f"for example {key}/"
        )
    return folder
