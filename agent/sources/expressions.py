"""The user's expressions: each is looked at alone, before it is spliced into anything.

What is allowed is one scalar expression. Whether it is one is asked of DuckDB's own parser (its syntax tree
as JSON) and of its binder: in a WHERE neither aggregates nor window functions nor UNNEST can stand.
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.config.model import CsvBody, Expr, RecordBody, RecordSource, XmlBody
from agent.errors import Problem
from agent.mapping import SqlType, literal, spliced
from agent.sources import duck
from agent.sources.recent import Recent
from agent.sources.relation import Uses, listed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "DEFAULT": "DEFAULT",
}
EMPTY_PARTS = ("where_clause", "having", "sample", "qualify", "modifiers", "group_expressions", "group_sets")
SCALAR = "an expression is one SQL value, computed from the columns of one record"
TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(?:\(\s*\d+\s*(?:,\s*\d+\s*)?\))?(?:\[\d*\])*")
"""One word or several, precision, lists: nothing that could end the cast it stands in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """An expression that is one."""

    expr: Expr
    columns: frozenset[str]
    """Names that may be columns, in lower case (a name of a lambda's parameter is among them)."""
    bare: str | None
    """The column, where the expression is nothing else; in lower case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """What the text of an expression is."""

    columns: frozenset[str] = frozenset()
    bare: str | None = None
    wrong: str = ""
    hint: str = ""


_LOOKS: Recent[_Look] = Recent(2048)
_TYPES: Recent[str] = Recent(256)
_BOUND: Recent[Mapping[str, SqlType]] = Recent(64)


def parse(con: DuckDBPyConnection, expr: Expr) -> Parsed | Problem:
    """Whether an expression is one scalar expression."""
    look = _LOOKS.get(expr.sql) or _LOOKS.keep(_look(con, expr.sql), expr.sql)
    if look.wrong:
        return _problem(expr, look.wrong, hint=look.hint)
    return Parsed(expr=expr, columns=look.columns, bare=look.bare)


def _look(con: DuckDBPyConnection, text: str) -> _Look:
    try:
        sql = f"SELECT\n{text}\n"
        sql.encode()
        tree = json.loads(str(duck.rows(con, f"SELECT json_serialize_sql({literal(sql)})")[0][0]))
    except UnicodeEncodeError:
        return _Look(wrong="holds a lone surrogate")
    if tree["error"]:
        return _Look(
            wrong=_first_line(str(tree.get("error_message", "cannot be parsed"))) or "cannot be parsed"
        )
    refusal = _refusal(tree["statements"])
    if refusal:
        return _Look(wrong=refusal, hint=SCALAR)
    root = tree["statements"][0]["node"]["select_list"][0]
    nodes = list(_nodes(root))
    for node in nodes:
        if node.get("class") in REFUSED:
            return _Look(wrong=f"holds {REFUSED[node['class']]}", hint=SCALAR)
    columns = frozenset(
        name.lower()
        for node in nodes
        if node.get("class") == "COLUMN_REF"
        for name in node["column_names"][:1]
    )
    alone = root["class"] == "COLUMN_REF" and len(root["column_names"]) == 1
    return _Look(columns=columns, bare=root["column_names"][0].lower() if alone else None)


def _refusal(statements: list[dict[str, object]]) -> str:
    if len(statements) != 1:
        return "holds more than one statement"
    node = statements[0]["node"]
    assert isinstance(node, dict)
    if node["type"] != "SELECT_NODE" or node["cte_map"]["map"] or any(node.get(part) for part in EMPTY_PARTS):
        return "holds more than an expression"
    if node["from_table"]["type"] != "EMPTY":
        return "holds a FROM"
    chosen = node["select_list"]
    if len(chosen) != 1:
        return "holds a comma: these are several expressions"
    return "names its result (AS …)" if chosen[0].get("alias") else ""


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every node of the tree, without recursion: an expression may be nested deeply."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            yield node
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


def computable(con: DuckDBPyConnection, exprs: Iterable[Expr], names: Iterable[str]) -> list[Expr]:
    """Those that need no other columns than these."""
    there = {name.lower() for name in names}
    found = [parse(con, expr) for expr in exprs]
    return [one.expr for one in found if isinstance(one, Parsed) and one.columns <= there]


def uses(leaves: Iterable[Parsed], others: Iterable[Parsed], body: RecordBody) -> Uses:
    """Which columns are named, by the leaves of the map and by templates."""
    leaves = list(leaves)
    as_columns = isinstance(body, CsvBody | XmlBody)
    return Uses(
        bare=frozenset(leaf.bare for leaf in leaves if leaf.bare is not None),
        compound=frozenset().union(
            *(leaf.columns for leaf in leaves if leaf.bare is None), *(other.columns for other in others)
        ),
        record=body.map is None and not as_columns,
        every=body.map is None and as_columns,
        shaped=isinstance(body, XmlBody),
    )


def bind(
    con: DuckDBPyConnection, rows: str, expressions: list[Expr], names: tuple[str, ...], *, file: str = ""
) -> tuple[dict[str, SqlType], list[Problem]]:
    """The type of every expression over `rows` (a FROM item), by its SQL; or what is wrong with which.

    `names` are the columns there are, for the hint. `file`: a path in `rows`, where all else in them says
    what the types are, whatever the file holds; with that, what was right for another one is not asked again.
    """
    import duckdb  # noqa: PLC0415

    if not expressions:
        return {}, []
    texts = (rows.replace(file, "\0"), *(expr.sql for expr in expressions)) if file else ()
    if texts and (known := _BOUND.get(*texts)) is not None:
        return dict(known), []
    try:
        bound = _bound(con, rows, expressions)
        return dict(_BOUND.keep(bound, *texts) if texts else bound), []
    except duckdb.Error:
        pass
    found: dict[str, SqlType] = {}
    problems: list[Problem] = []
    for expr in expressions:
        try:
            found |= _bound(con, rows, [expr])
        except duckdb.Error as error:
            problems.append(_explained(expr, error, names))
    return found, problems


def _bound(con: DuckDBPyConnection, rows: str, expressions: list[Expr]) -> dict[str, SqlType]:
    condition = " AND ".join(f"{spliced(expr.sql)} IS NULL" for expr in expressions)
    duck.types(con, f"SELECT 1 FROM {rows} WHERE {condition}")
    chosen = ", ".join(f"{spliced(expr.sql)} AS __v{number}" for number, expr in enumerate(expressions))
    types = duck.types(con, f"SELECT {chosen} FROM {rows}")
    return {expr.sql: type_ for expr, type_ in zip(expressions, types, strict=True)}


def _explained(expr: Expr, error: Exception, names: tuple[str, ...]) -> Problem:
    text = str(error)
    missing = re.search(r'Referenced (?:column|table) "(.+?)" not found', text)
    if missing is None:
        return _problem(expr, _first_line(text))
    name = missing.group(1)
    same = [one for one in names if one.lower() == name.lower()]
    if len(same) > 1:
        hint = "SQL does not tell them apart: rename one in the source, or send the record as it is"
        said = f"the columns {listed(tuple(same))} differ in case only"
        if len(set(same)) == 1:
            said = f"there are {len(same)} columns called {name}"
        return _problem(expr, said, hint=hint)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = (f"did you mean {close[0]}? " if close else "") + f"columns there are: {listed(names)}"
    return _problem(expr, f"there is no column {name}", hint=hint)


def cannot(exprs: Sequence[Expr], error: Exception) -> Problem:
    """A problem of one of several expressions that were computed together."""
    names = ", ".join(f"={expr.sql}" for expr in exprs[1:])
    beside = f" (or {names})" if names else ""
    return _problem(exprs[0], f"cannot be computed{beside}: {_first_line(str(error))}")


def _first_line(text: str) -> str:
    line = text.splitlines()[0] if text else text
    return re.sub(r"^(?:Binder|Parser|Catalog|Conversion|Invalid Input|Not implemented) Error: ", "", line)


def _problem(expr: Expr, message: str, *, hint: str = "") -> Problem:
    return Problem(
        file=expr.where.file,
        line=expr.where.line,
        column=expr.where.column,
        path=expr.where.path,
        message=f"={expr.sql}: {message}",
        hint=hint,
    )


def wrong_types(con: DuckDBPyConnection, job_file: str, source: RecordSource) -> list[Problem]:
    """Which of the source's `types` are no types."""
    return [
        Problem(
            file=job_file,
            line=source.where.line,
            column=source.where.column,
            path=f"source.types.{name}",
            message=f"{type_}: {wrong}",
            hint="a DuckDB type, such as VARCHAR, BIGINT, DOUBLE, DECIMAL(10,2), BOOLEAN, DATE, TIMESTAMPTZ",
        )
        for name, type_ in source.types.items()
        if (wrong := _wrong_type(con, type_))
    ]


def _wrong_type(con: DuckDBPyConnection, type_: str) -> str:
    """What is wrong with the name of a type; empty when nothing is."""
    known = _TYPES.get(type_)
    return known if known is not None else _TYPES.keep(_asked(con, type_), type_)


def _asked(con: DuckDBPyConnection, type_: str) -> str:
    import duckdb  # noqa: PLC0415

    if not TYPE_NAME.fullmatch(type_):
        return "is not the name of a type"
    try:
        duck.types(con, f"SELECT CAST(NULL AS {type_})")
    except duckdb.Error as error:
        return _first_line(str(error))
    return ""
