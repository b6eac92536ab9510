"""Map tree → SQL text. Pure: this module writes SQL and never runs it.

A body is one `concat(…)` of constant JSON text and one piece of SQL per expression, by the type that
the expression has. Text is joined here instead of asking DuckDB's `to_json` for the whole document
because that keeps what JSON allows and a STRUCT does not: empty keys, keys that differ in case only,
lists of unlike things, and every digit of a number.

The SQL uses three macros of the connection (`sources/duck.py`): `__json` (refuses text that is not
RFC 8259), `__rfc3339` (timestamp with zone → text in UTC) and `__fail` (an error with our own words).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from agent.config.model import Constant, Expr, JsonScalar, MapList, MapNode, MapObject, Template

PLAIN = frozenset(
    [
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "hugeint",
        "utinyint",
        "usmallint",
        "uinteger",
        "ubigint",
        "uhugeint",
        "bignum",
        "decimal",
    ]
)
"""Types whose text is JSON as it stands."""
QUOTED = frozenset(["time", "time with time zone", "time_ns", "interval", "uuid", "bit"])
"""Types whose text needs quotes around it and nothing else."""
NAIVE = frozenset(["timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"])
PATH_SAFE = "/?=&%:@!$'()*+,;~"
"""What stands in the fixed text of a path as it is written; the rest is percent-encoded (RFC 3986)."""
NULL_TEXT = "'null'"


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlType:
    """A DuckDB type, as far as JSON cares."""

    kind: str
    """DuckDB's own word in lower case; `json` for its alias of VARCHAR."""
    children: tuple[tuple[str, SqlType], ...] = ()
    """Fields of a struct or tuple; the element of a list (`child`); `key` and `value` of a map."""


TEXT = SqlType(kind="varchar")
JSON = SqlType(kind="json")


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A SQL identifier. The name must not be empty."""
    return '"' + name.replace('"', '""') + '"'


def spliced(sql: str) -> str:
    """An expression of the user inside our SQL: on lines of its own, so that `--` swallows nothing."""
    return f"(\n{sql}\n)"


def constant(value: JsonScalar) -> str:
    """A constant of the map as JSON text, pure ASCII: it stands inside SQL whatever it holds."""
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return json.dumps(value, ensure_ascii=True)


def expressions(node: MapNode | None) -> Iterator[Expr]:
    """Every expression of a map, in the order of the document."""
    match node:
        case Expr():
            yield node
        case MapObject(items=pairs):
            for _, child in pairs:
                yield from expressions(child)
        case MapList(items=children):
            for child in children:
                yield from expressions(child)


def document(node: MapNode, types: Mapping[str, SqlType], *, drop: bool, tail: str = "") -> str:
    """SQL of the JSON text of a map and of `tail` behind it; never NULL.

    `types` has the type of each expression by its SQL. `drop` leaves out keys whose value is null.
    """
    return concat([*_pieces(node, types, drop=drop), literal(tail)])


def record(columns: tuple[tuple[str, str, SqlType], ...], *, drop: bool, tail: str = "") -> str:
    """SQL of the JSON text of a record as it is: (key, SQL of the value, its type) per column."""
    entries = [(key, [_nullable(value, type_, drop=drop)]) for key, value, type_ in columns]
    return concat([*_object(entries, drop=drop), literal(tail)])


def concat(pieces: list[str]) -> str:
    """SQL that joins pieces of SQL; neighbouring literals become one, so that constants cost nothing."""
    merged: list[str] = []
    for piece in pieces:
        if merged and _is_literal(merged[-1]) and _is_literal(piece):
            merged[-1] = merged[-1][:-1] + piece[1:]
        else:
            merged.append(piece)
    return f"concat({', '.join(merged)})"


def _is_literal(piece: str) -> bool:
    return piece.startswith("'") and "'" not in piece[1:-1].replace("''", "") and piece.endswith("'")


def _pieces(node: MapNode, types: Mapping[str, SqlType], *, drop: bool) -> list[str]:
    match node:
        case Expr(sql=sql):
            return [_never_null(_nullable(spliced(sql), types[sql], drop=drop))]
        case Constant(value=value):
            return [literal(constant(value))]
        case MapList(items=children):
            return _list([_pieces(child, types, drop=drop) for child in children])
        case MapObject(items=pairs):
            entries: list[tuple[str, list[str]]] = []
            for key, child in _last_wins(pairs):
                if isinstance(child, Expr):
                    entries.append((key, [_nullable(spliced(child.sql), types[child.sql], drop=drop)]))
                elif drop and isinstance(child, Constant) and constant(child.value) == "null":
                    continue
                else:
                    entries.append((key, _pieces(child, types, drop=drop)))
            return _object(entries, drop=drop)


def _last_wins(pairs: tuple[tuple[str, MapNode], ...]) -> list[tuple[str, MapNode]]:
    """Each key once: RFC 8259 leaves doubled keys undefined, the config refuses them before us."""
    return list(dict(pairs).items())


def _list(children: list[list[str]]) -> list[str]:
    pieces = ["'['"]
    for number, child in enumerate(children):
        pieces += (["','"] if number else []) + child
    return [*pieces, "']'"]


def _object(entries: list[tuple[str, list[str]]], *, drop: bool) -> list[str]:
    """`{` key `:` value … `}`. A value of one piece that is no literal may be NULL here."""
    if drop and any(_may_vanish(value) for _, value in entries):
        return _shrinking_object(entries)
    pieces = ["'{'"]
    for number, (key, value) in enumerate(entries):
        pieces.append(literal(("," if number else "") + constant(key) + ":"))
        pieces += [_never_null(value[0])] if _may_vanish(value) else value
    return [*pieces, "'}'"]


def _may_vanish(value: list[str]) -> bool:
    return len(value) == 1 and not _is_literal(value[0])


def _shrinking_object(entries: list[tuple[str, list[str]]]) -> list[str]:
    """Every entry brings its comma along and the first comma is trimmed: `"` always follows it."""
    pieces: list[str] = []
    for key, value in entries:
        head = literal("," + constant(key) + ":")
        pieces += [f"coalesce({head} || {value[0]}, '')"] if _may_vanish(value) else [head, *value]
    return ["'{'", f"ltrim({concat(pieces)}, ',')", "'}'"]


def _never_null(sql: str) -> str:
    return sql if _is_literal(sql) else f"coalesce({sql}, {NULL_TEXT})"


def _nullable(value: str, type_: SqlType, *, drop: bool, depth: int = 0) -> str:
    """SQL of the JSON text of a value of a type; NULL where the value has no JSON form but null."""
    kind = type_.kind
    if kind == "null":
        return "CAST(NULL AS VARCHAR)"
    if kind in PLAIN:
        return f"CAST({value} AS VARCHAR)"
    if kind == "varchar":
        return f"CAST(to_json({value}) AS VARCHAR)"
    if kind in ("struct", "tuple", "list", "array", "map"):
        return _nested(value, type_, drop=drop, depth=depth)
    return _scalar(value, kind, drop=drop)


def _scalar(value: str, kind: str, *, drop: bool) -> str:  # noqa: PLR0911 - a table of types
    if kind == "double":  # to_json writes doubles three times as fast as the cast does
        return f"CASE WHEN isfinite({value}) THEN CAST(to_json({value}) AS VARCHAR) END"
    if kind == "float":  # but a float as if it were a double: 0.10000000149011612
        return f"CASE WHEN isfinite({value}) THEN CAST({value} AS VARCHAR) END"
    if kind == "timestamp with time zone":
        return f"""('"' || __rfc3339({value}) || '"')"""
    if kind in NAIVE:
        text = f"""('"' || replace(CAST({value} AS VARCHAR), ' ', 'T') || '"')"""
        return f"CASE WHEN isfinite(CAST({value} AS TIMESTAMP)) THEN {text} END"
    if kind == "date":
        return f"""CASE WHEN isfinite({value}) THEN '"' || CAST({value} AS VARCHAR) || '"' END"""
    if kind == "blob":
        return f"""('"' || to_base64({value}) || '"')"""
    if kind in QUOTED:
        return f"""('"' || CAST({value} AS VARCHAR) || '"')"""
    if kind == "enum":
        return f"CAST(to_json(CAST({value} AS VARCHAR)) AS VARCHAR)"
    text = f"CAST(to_json({value}) AS VARCHAR)" if kind != "json" else f"CAST({value} AS VARCHAR)"
    if not drop:
        return f"__json({text})"
    return f"nullif(CAST(json_strip_nulls(__json({text})) AS VARCHAR), 'null')"


def _nested(value: str, type_: SqlType, *, drop: bool, depth: int) -> str:
    children = type_.children
    if type_.kind in ("list", "array"):
        name = f"__e{depth}"
        element = _never_null(_nullable(name, children[0][1], drop=drop, depth=depth + 1))
        text = f"array_to_string(list_transform({value}, lambda {name}: {element}), ',')"
        return f"('[' || {text} || ']')"
    if type_.kind == "map":
        return _map(value, children[0][1], children[1][1], drop=drop, depth=depth)
    if type_.kind == "tuple":
        parts = [
            [_never_null(_nullable(f"{value}[{number}]", child, drop=drop, depth=depth))]
            for number, (_, child) in enumerate(children, start=1)
        ]
        text = concat(_list(parts))
    else:
        fields = [
            (key, [_nullable(f"struct_extract({value}, {literal(key)})", child, drop=drop, depth=depth)])
            for key, child in children
        ]
        text = concat(_object(fields, drop=drop))
    return f"CASE WHEN {value} IS NOT NULL THEN {text} END"


def _map(value: str, key_type: SqlType, value_type: SqlType, *, drop: bool, depth: int) -> str:
    name = f"__e{depth}"
    # a key that is a timestamp is written like a value would be; every other key by its text
    key = f"CAST(to_json(CAST({name}.key AS VARCHAR)) AS VARCHAR)"
    if key_type.kind == "timestamp with time zone":
        key = _scalar(f"{name}.key", key_type.kind, drop=False)
    item = _nullable(f"{name}.value", value_type, drop=drop, depth=depth + 1)
    entry = f"{key} || ':' || {item if drop else _never_null(item)}"
    # array_to_string leaves out NULLs, which is what `drop` wants; where all are, it is NULL itself
    listed = f"list_transform(map_entries({value}), lambda {name}: {entry})"
    text = f"coalesce(array_to_string({listed}, ','), '')"
    return f"CASE WHEN {value} IS NOT NULL THEN '{{' || {text} || '}}' END"


def path(template: Template) -> str:
    """SQL of a path for one record; fails where a piece is empty or would leave its path segment.

    `url_encode` leaves only the unreserved characters of RFC 3986 as they are; `.` and `..` are made
    of those, so whole segments are checked afterwards.
    """
    pieces = []
    for part in template.parts:
        if isinstance(part, str):
            pieces.append(literal(quote(part, safe=PATH_SAFE)))
            continue
        text = f"CAST({spliced(part.sql)} AS VARCHAR)"
        said = literal(f"{part.where.path}: {{{part.sql}}} is empty")
        filled = f"CASE WHEN {text} <> '' THEN {text} ELSE CAST(__fail({said}, {text}) AS VARCHAR) END"
        pieces.append(f"url_encode({filled})")
    text = concat(pieces)
    refused = literal(f"{template.where.path}: a piece of the path is . or ..")
    return (
        f"CASE WHEN regexp_matches({text}, '(^|/)[.][.]?(/|[?#]|$)') "
        f"THEN CAST(__fail({refused}, {text}) AS VARCHAR) ELSE {text} END"
    )


def header(name: str, template: Template) -> str:
    """SQL of a header's value for one record; fails on NULL and on control characters (CR, LF, …)."""
    pieces = [
        literal(part) if isinstance(part, str) else f"CAST({spliced(part.sql)} AS VARCHAR)"
        for part in template.parts
    ]
    text = f"({' || '.join(pieces)})"
    empty = literal(f"{template.where.path}: the header {name} has no value")
    control = literal(f"{template.where.path}: the header {name} would hold a control character")
    return (
        f"CASE WHEN {text} IS NULL THEN CAST(__fail({empty}, {text}) AS VARCHAR) "
        f"WHEN regexp_matches({text}, '[\\x00-\\x1f\\x7f]') "
        f"THEN CAST(__fail({control}, {text}) AS VARCHAR) ELSE {text} END"
    )
