"""CSV (RFC 4180): SQL of the line of a record.

A null is an empty field, an empty text is `""`: sources of ours tell them apart again. A line of one
field that is null is `""` too, since a blank line is no record for most readers. A nested value is its
JSON text in one field.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.model import Constant, CsvBody, Expr, MapNode, MapObject
from agent.mapping import json, texts
from agent.mapping.sql import SqlType, concat, literal, spliced

BREAK = "\r\n"
SPECIAL = '"\r\n'
"""What makes quotes a must, beside the delimiter."""


def header(columns: tuple[str, ...], body: CsvBody) -> str:
    """The line of the names, with its line break."""
    return body.delimiter.join(_field(name, body) for name in columns) + BREAK


def names(node: MapNode) -> tuple[str, ...]:
    """The columns of a map."""
    assert isinstance(node, MapObject), "the schema lets nothing else through"
    return tuple(name for name, _ in node.items)


def document(node: MapNode, types: Mapping[str, SqlType], body: CsvBody, *, tail: str) -> str:
    """SQL of the line of a map and of `tail` behind it; never NULL."""
    assert isinstance(node, MapObject)
    pieces: list[str] = []
    for number, (_, child) in enumerate(node.items):
        pieces += [literal(body.delimiter)] if number else []
        pieces += _cell(child, types, body)
    if len(node.items) == 1:
        pieces = [f"coalesce(nullif({concat(pieces)}, ''), '\"\"')"]
    return concat([*pieces, literal(tail)])


def _cell(node: MapNode, types: Mapping[str, SqlType], body: CsvBody) -> list[str]:
    """Pieces; one that is NULL leaves the field empty."""
    drop = body.nulls == "drop"
    match node:
        case Constant(value=value):
            return [] if texts.is_null(value) else [literal(_field(texts.constant(value), body))]
        case Expr(sql=sql):
            type_ = types[sql]
            text = texts.text(spliced(sql), type_, drop=drop)
            if body.quoting == "all":
                safe = type_.kind in texts.SAFE
                inner = text if safe else f"replace({text}, '\"', '\"\"')"
                return [f"('\"' || {inner} || '\"')"]
            return [text] if type_.kind in texts.SAFE else [_quoted(text, body)]
    return [_quoted(json.document(node, types, drop=drop), body)]


def _quoted(text: str, body: CsvBody) -> str:
    return f"__csv({text}, {literal(body.delimiter)})"


def _field(text: str, body: CsvBody) -> str:
    if body.quoting == "minimal" and text and not any(char in text for char in (*SPECIAL, body.delimiter)):
        return text
    return '"' + text.replace('"', '""') + '"'
