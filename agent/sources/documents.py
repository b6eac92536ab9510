"""What `ndjson` and `json` have in common: records that are JSON documents.

Columns are the keys of the records' objects. A column that stands alone in a leaf (`=lat`) is passed on as
the JSON it is; inside an expression it has the type that all of its values in the file have. A key that no
record has is a missing column, unless `types` names it: then it is null.
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

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
        "CASE WHEN NOT json_valid(__l) THEN 'not valid JSON' "
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
    keys = tuple(sorted(_keys(con, parsed))) if source.columns or not uses.record else ()
    if keys:
        require(file, source.columns, keys)
    else:  # no good record at all: nothing is missing, the checks name what is wrong with each
        keys = tuple(sorted(uses.bare | uses.compound))
    found = _found(file, keys, uses, source)
    kinds = _kinds(con, parsed, found)
    paths = "[" + ", ".join(literal(_pointer(key)) for key in found) + "]"
    extracted = f", json_extract(__j, {paths}) AS __x" if found else ""
    columns: list[Column] = []
    checks: list[str] = list(CHECKS)
    for number, key in enumerate(found, start=1):
        json_text = f"__x[{number}]"
        text = f"({json_text} ->> '$')"
        type_ = source.types.get(key) or _type(con, parsed, key, kinds[key])
        if type_ == "VARCHAR":
            columns.append(Column(name=key, sql=text))
        elif type_ == "JSON":
            columns.append(Column(name=key, sql=json_text))
        elif type_.startswith("{"):
            columns.append(Column(name=key, sql=f"from_json({json_text}, {literal(type_)})"))
        else:
            column, check = typed(key, text, type_)
            columns.append(column)
            checks.append(check)
    own = {key.lower(): f"__x[{n}]" for n, key in enumerate(found, 1) if key not in source.types}
    return Relation(
        base=f"SELECT *{extracted} FROM ({parsed})",
        columns=tuple(columns),
        names=keys,
        document="__j",
        raw={key: sql for key, sql in own.items() if key in uses.bare},
        shown="__l",
        checks=tuple(checks),
        line_of=line_of,
    )


def _pointer(key: str) -> str:
    return '$."' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _keys(con: DuckDBPyConnection, parsed: str) -> list[str]:
    return [str(row[0]) for row in duck.rows(con, f"SELECT DISTINCT unnest(json_keys(__j)) FROM ({parsed})")]


def _found(
    file: Opened, keys: tuple[str, ...], uses: Uses, source: NdjsonSource | JsonSource
) -> tuple[str, ...]:
    """The keys that are named. SQL does not tell `id` from `ID`: a record may, then it must be said which."""
    used = uses.bare | uses.compound
    found = [key for key in keys if key and key.lower() in used]
    lowered: dict[str, str] = {}
    for key in found:
        if key.lower() in lowered:
            said = f"{file.name}: the keys {lowered[key.lower()]!r} and {key!r} differ in case only"
            raise SourceError(
                said, hint="SQL does not tell them apart: send the record as it is", lasting=True
            )
        lowered[key.lower()] = key
    typed_too = [key for key in source.types if key not in found]
    return tuple(found + typed_too)


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


def _structure(con: DuckDBPyConnection, parsed: str, key: str) -> str:
    import duckdb  # noqa: PLC0415

    pointer = literal(_pointer(key))
    found = duck.rows(con, f"SELECT json_group_structure(json_extract(__j, {pointer})) FROM ({parsed})")[0][0]
    structure = str(found).replace('"NULL"', '"JSON"').replace('"UBIGINT"', '"BIGINT"')
    if not structure.startswith("{"):
        return "JSON"
    try:
        duck.types(con, f"SELECT from_json('{{}}', {literal(structure)})")
    except duckdb.Error:  # such as keys that differ in case only
        return "JSON"
    return structure
