"""What `ndjson` and `json` have in common: records that are JSON documents.

Columns are the keys of the records' objects. A column that stands alone in a leaf (`=lat`) is passed on as
the JSON it is; inside an expression it has the type that all of its values in the file have. A key that no
record has is a missing column, unless `types` names it: then it is null.
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from agent import mapping
from agent.config.model import JsonSource, NdjsonSource
from agent.errors import SourceError
from agent.mapping import literal
from agent.sources import duck
from agent.sources.relation import Column, Opened, Relation, Uses, require, typed
from agent.sources.shapes import Kinds, Shape, kinds_of, paths, pointer, shape_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

INTEGERS = frozenset({"UBIGINT", "BIGINT"})
NO_SHAPE = Shape(keys=(), kinds={})
NUMBERS = INTEGERS | {"DOUBLE"}
WRONG = (
    "CASE WHEN NOT json_valid(__l) THEN 'not valid JSON' || "
    r"CASE WHEN regexp_matches(__l, '(?i)\\ud[89a-f]') "
    "THEN ', or half of a surrogate pair alone, which is no character' ELSE '' END "
    "WHEN NOT __json_ok(__l) THEN 'NaN, Infinity and trailing commas are not JSON' "
    "WHEN (starts_with(__l, '{') OR json_type(__l) = 'OBJECT') IS NOT TRUE THEN 'not a JSON object' END"
)
"""What is wrong with a text: computed once, since each look at it reads it anew."""


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
        "SELECT __l, __w, CASE WHEN __w IS NULL THEN __l END AS __j "
        f"FROM (SELECT __l, {WRONG} AS __w FROM ({texts}))"
    )
    counts = partial(_counts, uses, source)
    asked = reads_all(source, uses)
    shape = shape_of(con, parsed, counts, in_order=uses.every) if asked else NO_SHAPE
    keys = shape.keys
    if keys:
        require(file, source.columns, keys)
    else:  # no good record at all: nothing is missing, the checks name what is wrong with each
        keys = tuple(sorted(uses.bare | uses.compound))
    found = _found(file, keys, uses, source)
    unknown = [key for key in found if counts(key) and key not in shape.kinds]
    kinds = shape.kinds | kinds_of(con, parsed, tuple(k for k in unknown if k in shape.keys or not asked))
    nothing: frozenset[str] = frozenset()
    extracted = f", json_extract(__j, {paths(found)}) AS __x" if found else ""
    columns, checks = _columns(con, parsed, source, {key: kinds.get(key, nothing) for key in found}, counts)
    own = {
        key: _shaped(con, parsed, key, f"__x[{n}]", kinds.get(key, nothing)) if uses.shaped else f"__x[{n}]"
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
        strict=True,
        raw={key.lower(): sql for key, sql in own.items() if key.lower() in uses.bare},
        shown="__l",
        checks=("__w", *checks),
        line_of=line_of,
    )


def _columns(
    con: DuckDBPyConnection,
    parsed: str,
    source: NdjsonSource | JsonSource,
    found: Kinds,
    counts: Callable[[str], bool],
) -> tuple[list[Column], list[str]]:
    """The columns of the keys that are named, and what may be wrong with their values."""
    grows = source.reread == "appended"  # what no record of this part has, another one may have
    columns: list[Column] = []
    checks: list[str] = []
    for number, (key, kinds) in enumerate(found.items(), start=1):
        json_text = f"__x[{number}]"
        text = f"({json_text} ->> '$')"
        if key in source.types:
            type_ = source.types[key]
        else:
            type_ = _type(con, parsed, key, kinds) if counts(key) else "JSON"
        if grows and key not in source.types and counts(key) and not kinds:
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
    return columns, checks


def reads_all(source: NdjsonSource | JsonSource, uses: Uses) -> bool:
    """Whether `over` reads all texts once, for their keys."""
    return bool(source.columns) or not uses.record


def _counts(uses: Uses, source: NdjsonSource | JsonSource, key: str) -> bool:
    """Whether the types of a key's values matter: not where all that is done with it is to send it."""
    # DuckDB has no path for a key that is the empty text
    return key != "" and (
        uses.every or uses.shaped or (key.lower() in uses.compound and key not in source.types)
    )


def _exact(key: str, type_: str) -> str:
    """SQL of a DECIMAL with all digits: out of the record itself, since what is extracted is a double."""
    if not type_.upper().startswith(("DEC", "NUMERIC")):
        return ""
    shape = json.dumps({key: type_})
    return f"struct_extract(from_json(__j, {literal(shape)}), {literal(key)})"


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
    structure = json.dumps(_as_texts(json.loads(_grouped(con, parsed, key))))
    return f"from_json({value}, {literal(structure)})" if _possible(con, structure) else plain


def _as_texts(structure: object) -> object:
    """Texts keep more of a number than a type that all values of the file fit into."""
    if isinstance(structure, dict):
        return {key: _as_texts(inner) for key, inner in structure.items()} or "JSON"
    if isinstance(structure, list):
        return [_as_texts(inner) for inner in structure] or "JSON"
    return "JSON" if structure == "JSON" else "VARCHAR"


def _grouped(con: DuckDBPyConnection, parsed: str, key: str) -> str:
    """The structure that holds all values of a key."""
    place = literal(pointer(key))
    found = duck.rows(con, f"SELECT json_group_structure(json_extract(__j, {place})) FROM ({parsed})")
    return str(found[0][0])


def _structure(con: DuckDBPyConnection, parsed: str, key: str) -> str:
    structure = _grouped(con, parsed, key).replace('"NULL"', '"JSON"').replace('"UBIGINT"', '"BIGINT"')
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
