"""Which writer writes the records of a body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.config.model import CsvBody, Expr, MapNode, MapObject, NdjsonBody, RecordBody, Where, XmlBody
from agent.config.xml_names import trouble
from agent.mapping import csv, json, texts, xml
from agent.mapping.sql import SqlType, expressions, literal, spliced


def text(body: RecordBody, tree: MapNode, types: Mapping[str, SqlType], *, tail: str) -> str:
    """SQL of the text of a record and of `tail` behind it; never NULL.

    `types` has the type of each expression by its SQL.
    """
    match body:
        case XmlBody():
            return xml.document(tree, types, body, tail=tail)
        case CsvBody():
            return csv.document(tree, types, body, tail=tail)
    drop = body.nulls == "drop"
    if isinstance(body, NdjsonBody) and any(holds_json(types[expr.sql]) for expr in expressions(tree)):
        return f"({one_line(body, json.document(tree, types, drop=drop))} || {literal(tail)})"
    return json.document(tree, types, drop=drop, tail=tail)


def one_line(body: RecordBody, sql: str) -> str:
    """SQL of a JSON text that somebody else wrote: in NDJSON it must not hold its line breaks.

    Inside of its strings a JSON text has none: they are white space between its parts.
    """
    return f"translate({sql}, chr(10) || chr(13), '  ')" if isinstance(body, NdjsonBody) else sql


def holds_json(type_: SqlType) -> bool:
    """Whether a value brings JSON text of its own along."""
    return type_.kind == "json" or any(holds_json(child) for _, child in type_.children)


def leaf(body: RecordBody, expr: Expr, type_: SqlType) -> str:
    """SQL of what an expression alone becomes; for finding out which one cannot be written."""
    drop = body.nulls == "drop"
    match body:
        case XmlBody():
            return xml.document(MapObject(items=(("x", expr),)), {expr.sql: type_}, body, tail="")
        case CsvBody():
            return texts.text(spliced(expr.sql), type_, drop=drop)
    return json_value(expr, type_, drop=drop)


def json_value(expr: Expr, type_: SqlType, *, drop: bool) -> str:
    """SQL of the JSON text of an expression; NULL where it is null."""
    return json.value_text(spliced(expr.sql), type_, drop=drop)


def plain_text(value: str, type_: SqlType) -> str:
    """SQL of the text of a value, as formats without types have it; NULL where it is null."""
    return texts.text(value, type_, drop=False)


def unfit(body: XmlBody, tree: MapNode, types: Mapping[str, SqlType]) -> Iterator[tuple[Where, str]]:
    """Names that come from the data and can be no names in XML: where, and what is wrong."""
    prefixes = frozenset(prefix for prefix, _ in body.root.namespaces)
    if body.map is None and isinstance(tree, MapObject):
        for name, expr in tree.items:
            assert isinstance(expr, Expr)
            if name != xml.TEXT and (wrong := trouble(name.removeprefix(xml.ATTRIBUTE), prefixes)):
                yield expr.where, f"the column {name[:100]!r} {wrong}"
    for expr in expressions(tree):
        for name, wrong in xml.unfit(types[expr.sql], prefixes):
            yield expr.where, f"the field {name[:100]!r} {wrong}"
