"""JSON (RFC 8259): SQL of the text of a map or a record.

A body is one `concat(…)` of constant JSON text and one piece of SQL per expression, by the type that
the expression has. Text is joined here instead of asking DuckDB's `to_json` for the whole document
because that keeps what JSON allows and a STRUCT does not: empty keys, keys that differ in case only,
lists of unlike things, and every digit of a number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from agent.config.model import Constant, Expr, JsonScalar, MapList, MapNode, MapObject
from agent.mapping.sql import SqlType, concat, is_literal, literal, spliced

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
SURE = PLAIN | QUOTED | {"null", "varchar", "double", "float", "date", "blob", "enum"}
"""Types all of whose values can be written."""
NULL_TEXT = "'null'"


def may_fail(type_: SqlType) -> bool:
    """Whether there are values of this type that no JSON says: a time of the year 12000, a nested one."""
    return type_.kind not in SURE


def constant(value: JsonScalar) -> str:
    """A constant of the map as JSON text, pure ASCII: it stands inside SQL whatever it holds."""
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return json.dumps(value, ensure_ascii=True)


def document(node: MapNode, types: Mapping[str, SqlType], *, drop: bool, tail: str = "") -> str:
    """SQL of the JSON text of a map and of `tail` behind it; never NULL.

    `types` has the type of each expression by its SQL. `drop` leaves out keys whose value is null.
    """
    return concat([*pieces(node, types, drop=drop), literal(tail)])


def record(columns: tuple[tuple[str, str, SqlType], ...], *, drop: bool, tail: str = "") -> str:
    """SQL of the JSON text of a record as it is: (key, SQL of the value, its type) per column."""
    entries = [(key, [value_text(value, type_, drop=drop)]) for key, value, type_ in columns]
    return concat([*_object(entries, drop=drop), literal(tail)])


def pieces(node: MapNode, types: Mapping[str, SqlType], *, drop: bool) -> list[str]:
    """The same in pieces of SQL, none of which is NULL."""
    match node:
        case Expr(sql=sql):
            return [_never_null(value_text(spliced(sql), types[sql], drop=drop))]
        case Constant(value=value):
            return [literal(constant(value))]
        case MapList(items=children):
            return _list([pieces(child, types, drop=drop) for child in children])
        case MapObject(items=pairs):
            entries: list[tuple[str, list[str]]] = []
            for key, child in _last_wins(pairs):
                if isinstance(child, Expr):
                    entries.append((key, [value_text(spliced(child.sql), types[child.sql], drop=drop)]))
                elif drop and isinstance(child, Constant) and constant(child.value) == "null":
                    continue
                else:
                    entries.append((key, pieces(child, types, drop=drop)))
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
    return len(value) == 1 and not is_literal(value[0])


def _shrinking_object(entries: list[tuple[str, list[str]]]) -> list[str]:
    """Every entry brings its comma along and the first comma is trimmed: `"` always follows it."""
    pieces: list[str] = []
    for key, value in entries:
        head = literal("," + constant(key) + ":")
        pieces += [f"coalesce({head} || {value[0]}, '')"] if _may_vanish(value) else [head, *value]
    return ["'{'", f"ltrim({concat(pieces)}, ',')", "'}'"]


def _never_null(sql: str) -> str:
    return sql if is_literal(sql) else f"coalesce({sql}, {NULL_TEXT})"


def value_text(value: str, type_: SqlType, *, drop: bool, depth: int = 0) -> str:
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
    if kind == "json":
        return _json(f"CAST({value} AS VARCHAR)", strict=type_.strict, drop=drop)
    return _scalar(value, kind, drop=drop)


def _json(text: str, *, strict: bool, drop: bool) -> str:
    text = text if strict else f"__json({text})"
    return f"nullif(CAST(json_strip_nulls({text}) AS VARCHAR), 'null')" if drop else text


def _scalar(value: str, kind: str, *, drop: bool) -> str:  # noqa: PLR0911 - a table of types
    if kind == "double":  # to_json writes doubles three times as fast as the cast does
        return f"CASE WHEN isfinite({value}) THEN CAST(to_json({value}) AS VARCHAR) END"
    if kind == "float":  # but a float as if it were a double: 0.10000000149011612
        return f"CASE WHEN isfinite({value}) THEN CAST({value} AS VARCHAR) END"
    if kind == "timestamp with time zone":
        return f"""('"' || __rfc3339({value}) || '"')"""
    if kind in NAIVE:
        return f"""('"' || __naive({value}) || '"')"""
    if kind == "date":
        return f"""CASE WHEN isfinite({value}) THEN '"' || CAST({value} AS VARCHAR) || '"' END"""
    if kind == "blob":
        return f"""('"' || to_base64({value}) || '"')"""
    if kind in QUOTED:
        return f"""('"' || CAST({value} AS VARCHAR) || '"')"""
    if kind == "enum":
        return f"CAST(to_json(CAST({value} AS VARCHAR)) AS VARCHAR)"
    return _json(f"CAST(to_json({value}) AS VARCHAR)", strict=False, drop=drop)


def _nested(value: str, type_: SqlType, *, drop: bool, depth: int) -> str:
    children = type_.children
    if type_.kind in ("list", "array"):
        name = f"__e{depth}"
        element = _never_null(value_text(name, children[0][1], drop=drop, depth=depth + 1))
        text = f"array_to_string(list_transform({value}, lambda {name}: {element}), ',')"
        return f"('[' || {text} || ']')"
    if type_.kind == "map":
        return _map(value, children[0][1], children[1][1], drop=drop, depth=depth)
    if type_.kind == "tuple":
        parts = [
            [_never_null(value_text(f"{value}[{number}]", child, drop=drop, depth=depth))]
            for number, (_, child) in enumerate(children, start=1)
        ]
        text = concat(_list(parts))
    else:
        fields = [
            (key, [value_text(f"struct_extract({value}, {literal(key)})", child, drop=drop, depth=depth)])
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
    item = value_text(f"{name}.value", value_type, drop=drop, depth=depth + 1)
    entry = f"{key} || ':' || {item if drop else _never_null(item)}"
    # array_to_string leaves out NULLs, which is what `drop` wants; where all are, it is NULL itself
    listed = f"list_transform(map_entries({value}), lambda {name}: {entry})"
    text = f"coalesce(array_to_string({listed}, ','), '')"
    return f"CASE WHEN {value} IS NOT NULL THEN '{{' || {text} || '}}' END"
