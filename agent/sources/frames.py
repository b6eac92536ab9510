"""The frame of a job's bodies. What `wrap` computes is computed here, once per reading."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent import mapping
from agent.config.model import Expr, JsonBody, MapNode, RecordBody
from agent.errors import Problem
from agent.mapping import Frame, SqlType
from agent.sources import duck, expressions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NOTHING = "(SELECT 1 AS __nothing)"
ONCE = (
    "`wrap` is made once per run, not per record: constants, and expressions without columns such as =now()"
)


def check(con: DuckDBPyConnection, body: RecordBody) -> list[Problem]:
    """What is wrong with the expressions of `wrap`."""
    leaves = _leaves(body)
    results = [expressions.parse(con, expr) for expr in leaves]
    problems = [result for result in results if isinstance(result, Problem)]
    return problems or [replace(problem, hint=ONCE) for problem in _types(con, leaves)[1]]


def made(con: DuckDBPyConnection, body: RecordBody, tree: MapNode | None) -> Frame | list[Problem]:
    """The frame of a reading; or what is wrong with the expressions of `wrap`. `tree` is what is written."""
    leaves = _leaves(body)
    types, problems = _types(con, leaves)
    if problems:
        return problems
    computed = _computed(con, leaves, types, drop=body.nulls == "drop")
    return computed if isinstance(computed, list) else mapping.frame(body, tree, computed)


def _leaves(body: RecordBody) -> tuple[Expr, ...]:
    return mapping.constants(body.wrap) if isinstance(body, JsonBody) else ()


def _types(con: DuckDBPyConnection, leaves: tuple[Expr, ...]) -> tuple[dict[str, SqlType], list[Problem]]:
    return expressions.bind(con, NOTHING, list(leaves), ())


def _computed(
    con: DuckDBPyConnection, leaves: tuple[Expr, ...], types: dict[str, SqlType], *, drop: bool
) -> dict[str, str | None] | list[Problem]:
    """The JSON text of each leaf, by its SQL. One query for all: then each `now()` is the same moment."""
    import duckdb  # noqa: PLC0415

    if not leaves:
        return {}
    texts = [mapping.json_value(expr, types[expr.sql], drop=drop) for expr in leaves]
    try:
        found = duck.rows(con, f"SELECT {', '.join(texts)}")[0]
    except duckdb.Error as error:
        return [expressions.cannot(leaves, error)]
    return {expr.sql: None if text is None else str(text) for expr, text in zip(leaves, found, strict=True)}
