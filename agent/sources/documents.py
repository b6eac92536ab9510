"""What `ndjson` and `json` have in common: records that are JSON documents.

Columns are the keys of the records' objects. A column that stands alone in a leaf (`=lat`) is passed on as
the JSON it is; inside an expression it has the type that all of its values in the file have. A key that no
record has is a missing column, unless `types` names it: then it is null.
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from agent import mapping
from agent.config.model import JsonSource, NdjsonSource
from agent.errors import SourceError
from agent.mapping import literal
from agent.sources import duck
from agent.sources.relation import Column, Opened, Relation, Uses, require, typed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

INTEGERS = frozenset({"UBIGINT", "BIGINT"})
NUMBERS = INTEGERS | {"DOUBLE"}
CHECKS = (
    (
        "CASE WHEN NOT json_valid(__l) THEN 'not valid JSON' || "
        r"CASE WHEN regexp_matches(__l, '(?i)\\ud[89a-f]') "
        "THEN ', or half of a surrogate pair alone, which is no character' ELSE '' END "
        "WHEN NOT __json_ok(__l) THEN 'NaN, Infinity and trailing commas are not JSON' "
        "WHEN __j IS NULL THEN 'not a JSON object' END"
    ),
)


def over(  # noqa: PLR0917 - what both kinds know, passed on as it is
    con: DuckDBPyConnection,
    file: Opened,
    source: NdjsonSource | JsonSource,
    uses: Uses,
    texts: str,
    line_of: Callable[[int], int | None],
) -> Relation:
    """The relation of JSON texts: `texts` is a SELECT of one column `__l`, one row per record."""
    # A text that is no object of strict JSON has no columns; the check names it, nothing fails in `base`.
    parsed = (
        "SELECT __l, CASE WHEN json_valid(__l) AND __json_ok(__l) THEN "
        f"CASE WHEN json_type(__l) = 'OBJECT' THEN __l END END AS __j FROM ({texts})"
    )
    keys = tuple(_keys(con, parsed, in_order=uses.every)) if source.columns or not uses.record else ()
    if keys:
        require(file, source.columns, keys)
    else:  # no good record at all: nothing is missing, the checks name what is wrong with each
        keys = tuple(sorted(uses.bare | uses.compound))
    found = _found(file, keys, uses, source)
    kinds = _kinds(con, parsed, found)
    grows = source.reread == "appended"  # what no record of this part has, another one may have
    paths = "[" + ", ".join(literal(_pointer(key)) for key in found) + "]"
    extracted = f", json_extract(__j, {paths}) AS __x" if found else ""
    columns: list[Column] = []
    checks: list[str] = list(CHECKS)
    for number, key in enumerate(found, start=1):
        json_text = f"__x[{number}]"
        text = f"({json_text} ->> '$')"
        type_ = source.types.get(key) or _type(con, parsed, key, kinds[key])
        if grows and key not in source.types and not kinds[key]:
            columns.append(Column(name=key, sql="NULL"))
        elif type_ == "VARCHAR":
            columns.append(Column(name=key, sql=text))
        elif type_ == "JSON":
            columns.append(Column(name=key, sql=json_text))
        elif type_.startswith("{"):
            columns.append(Column(name=key, sql=f"from_json({json_text}, {literal(type_)})"))
        else:
            column, check = typed(key, text, type_, exact=_exact(key, type_))
            columns.append(column)
            checks.append(check)
    own = {
        key: _shaped(con, parsed, key, f"__x[{n}]", kinds[key]) if uses.shaped else f"__x[{n}]"
        for n, key in enumerate(found, 1)
        if key not in source.types
    }
    entries = tuple((key, own.get(key, column.sql)) for key, column in zip(found, columns, strict=True))
    return Relation(
        base=f"SELECT *{extracted} FROM ({parsed})",
        columns=tuple(columns),
        names=keys,
        entries=entries if uses.every else (),
        document="__j",
        raw={key.lower(): sql for key, sql in own.items() if key.lower() in uses.bare},
        shown="__l",
        checks=tuple(checks),
        line_of=line_of,
    )


def _exact(key: str, type_: str) -> str:
    """SQL of a DECIMAL with all digits: out of the record itself, since what is extracted is a double."""
    if not type_.upper().startswith(("DEC", "NUMERIC")):
        return ""
    shape = json.dumps({key: type_})
    return f"struct_extract(from_json(__j, {literal(shape)}), {literal(key)})"


def _pointer(key: str) -> str:
    return '$."' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _keys(con: DuckDBPyConnection, parsed: str, *, in_order: bool) -> list[str]:
    """The keys of all records, sorted; or in the order in which they are met first."""
    keys = f"SELECT unnest(json_keys(__j)) AS __k FROM ({parsed})"
    if not in_order:
        return sorted(str(row[0]) for row in duck.rows(con, f"SELECT DISTINCT __k FROM ({keys})"))
    numbered = f"SELECT __k, row_number() OVER () AS __n FROM ({keys})"
    found = duck.rows(con, f"SELECT __k FROM ({numbered}) GROUP BY __k ORDER BY min(__n)")
    return [str(row[0]) for row in found]


def _found(
    file: Opened, keys: tuple[str, ...], uses: Uses, source: NdjsonSource | JsonSource
) -> tuple[str, ...]:
    """The keys that are named. SQL does not tell `id` from `ID`: a record may, then it must be said which."""
    if uses.every and "" in keys:
        said = f"{file.name}: a key of a record is the empty text"
        raise SourceError(said, hint="name what is to be sent in `body.map`", lasting=True)
    used = uses.bare | uses.compound
    found = [key for key in keys if uses.every or (key and key.lower() in used)]
    lowered: dict[str, str] = {}
    for key in found:
        if key.lower() in lowered and not uses.every:
            said = f"{file.name}: the keys {lowered[key.lower()]!r} and {key!r} differ in case only"
            raise SourceError(
                said, hint="SQL does not tell them apart: send the record as it is", lasting=True
            )
        lowered[key.lower()] = key
    typed_too = [key for key in source.types if key not in found]
    there = {*lowered, *(key.lower() for key in typed_too)}
    missing = sorted(used - there) if source.reread == "appended" and not uses.every else []
    return tuple(found + typed_too + missing)


def _kinds(con: DuckDBPyConnection, parsed: str, found: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    """The JSON types that each key has anywhere in the file."""
    if not found:
        return {}
    paths = "[" + ", ".join(literal(_pointer(key)) for key in found) + "]"
    lists = ", ".join(f"list(DISTINCT __t[{number}])" for number in range(1, len(found) + 1))
    row = duck.rows(con, f"SELECT {lists} FROM (SELECT json_type(__j, {paths}) AS __t FROM ({parsed}))")[0]
    return {
        key: frozenset(str(kind) for kind in kinds if kind not in (None, "NULL"))
        for key, kinds in zip(found, row, strict=True)
        if isinstance(kinds, list)
    } | {key: frozenset() for key, kinds in zip(found, row, strict=True) if not isinstance(kinds, list)}


def _type(con: DuckDBPyConnection, parsed: str, key: str, kinds: frozenset[str]) -> str:
    """A SQL type, or (starting with `{`) a structure for from_json."""
    if not kinds or kinds == {"VARCHAR"}:
        return "VARCHAR"
    if kinds == {"BOOLEAN"}:
        return "BOOLEAN"
    if kinds <= INTEGERS:
        return "BIGINT"
    if kinds <= NUMBERS:
        return "DOUBLE"
    if kinds == {"OBJECT"}:
        return _structure(con, parsed, key)
    return "JSON"


def _shaped(con: DuckDBPyConnection, parsed: str, key: str, value: str, kinds: frozenset[str]) -> str:
    """A JSON value as a STRUCT or LIST of texts, where all records agree on its shape; else as a text."""
    plain = mapping.plain_text(value, mapping.JSON)
    if kinds not in ({"OBJECT"}, {"ARRAY"}):
        return plain
    pointer = literal(_pointer(key))
    found = duck.rows(con, f"SELECT json_group_structure(json_extract(__j, {pointer})) FROM ({parsed})")[0][0]
    structure = json.dumps(_as_texts(json.loads(str(found))))
    return f"from_json({value}, {literal(structure)})" if _possible(con, structure) else plain


def _as_texts(structure: object) -> object:
    """Texts keep more of a number than a type that all values of the file fit into."""
    if isinstance(structure, dict):
        return {key: _as_texts(inner) for key, inner in structure.items()} or "JSON"
    if isinstance(structure, list):
        return [_as_texts(inner) for inner in structure] or "JSON"
    return "JSON" if structure == "JSON" else "VARCHAR"


def _structure(con: DuckDBPyConnection, parsed: str, key: str) -> str:
    pointer = literal(_pointer(key))
    found = duck.rows(con, f"SELECT json_group_structure(json_extract(__j, {pointer})) FROM ({parsed})")[0][0]
    structure = str(found).replace('"NULL"', '"JSON"').replace('"UBIGINT"', '"BIGINT"')
    if not structure.startswith("{"):
        return "JSON"
    return structure if _possible(con, structure) else "JSON"


def _possible(con: DuckDBPyConnection, structure: str) -> bool:
    import duckdb  # noqa: PLC0415

    try:
        duck.types(con, f"SELECT from_json('{{}}', {literal(structure)})")
    except duckdb.Error:  # such as keys that differ in case only
        return False
    return True
