"""`source:` of `type: sql` → SqlSource."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from agent.config.build_only import build_only, whole_list
from agent.config.document import Scalar
from agent.config.model import JsonScalar, SettledRows, SqlSource
from agent.config.scalars import Trap
from agent.config.sql_text import SqlText, read_sql, trouble
from agent.config.view import View
from agent.config.words import did_you_mean

WINDOW = ("since", "until")
"""Parameters that are bound to the run's window of time."""


def build_sql(source: View) -> SqlSource | None:
    """None where connection or query are missing; the schema has said so."""
    connection, query = source.text("connection"), source.text("query")
    if connection is None or query is None:
        return None
    default = SqlSource(connection=connection, query=query, where=source.where)
    cursor = source.texts("cursor")
    types = source.section("types")
    made = SqlSource(
        connection=connection,
        query=query,
        cursor=cursor,
        start=_start(source, cursor),
        settle=_settle(source, cursor, read_sql(query)),
        on_bad_row=source.word("on_bad_row", default.on_bad_row),
        only=build_only(source),
        columns=source.texts("columns"),
        types={name: kind for name in types.tree.entries if (kind := types.text(name))},
        where=source.where,
    )
    _check_query(source, read_sql(query), cursor)
    whole_list(source, made)
    return made


def _check_query(source: View, query: SqlText, cursor: tuple[str, ...]) -> None:
    where = source.at("query")
    wrong = trouble(query)
    if wrong is not None:
        source.found.error(where, *wrong)
        return
    for name in query.names:
        if name not in cursor and name not in WINDOW:
            there = [*cursor, *WINDOW]
            other = "a parameter is a column of `cursor`, :since or :until; text goes into quotes"
            source.found.error(
                where, f":{name} is no column of the cursor", did_you_mean(name, there, otherwise=other)
            )
    _check_limits(source, query, cursor)
    if cursor and not set(cursor) & set(query.names):
        example = f"WHERE {cursor[0]} > :{cursor[0]} ORDER BY {cursor[0]}"
        if len(cursor) > 1:
            columns, names = ", ".join(cursor), ", ".join(f":{name}" for name in cursor)
            example = f"WHERE ({columns}) > ({names}) ORDER BY {columns}"
        source.found.error(where, "does not use the cursor: every run would send all rows again", example)


def _check_limits(source: View, query: SqlText, cursor: tuple[str, ...]) -> None:
    where = source.at("query")
    if cursor and query.inner:
        message = "a LIMIT in parentheses may part rows with equal values of the cursor: some are never read"
        source.found.warning(where, message, "put the LIMIT at the end of the query, where it is seen")
    if not cursor and query.limited and set(WINDOW) & set(query.names):
        hint = "add `cursor`: a window is then read to its end, in pieces; or delete the LIMIT"
        source.found.warning(where, "the LIMIT cuts the window: what it leaves out is never read", hint)


def _start(source: View, cursor: tuple[str, ...]) -> Literal["beginning", "now"] | Mapping[str, JsonScalar]:
    if "start" in source and not cursor:
        source.found.error(source.at("start"), "without a cursor every run reads all rows", "add `cursor`")
    section = source.view("start")
    if section is None:
        return source.word("start", "beginning")
    values: dict[str, JsonScalar] = {}
    for name, entry in section.tree.entries.items():
        if name not in cursor:
            hint = did_you_mean(name, cursor, otherwise=f"the columns of the cursor: {', '.join(cursor)}")
            source.found.error(section.at(name), "is no column of the cursor", hint)
        if isinstance(entry.node, Scalar) and not isinstance(entry.node.value, Trap):
            values[name] = entry.node.value
    missing = [name for name in cursor if name not in section.tree.entries]
    if missing:
        source.found.error(source.at("start"), f"has no value for {', '.join(missing)}", "add it")
    return values


def _settle(source: View, cursor: tuple[str, ...], query: SqlText) -> SettledRows | None:
    if "settle" not in source:
        return None
    section = source.view("settle")
    if not cursor and not set(WINDOW) & set(query.names):
        hint = "add `cursor`, or delete `settle`: without a cursor every run reads all rows"
        source.found.error(source.at("settle"), "needs a cursor", hint)
        return None
    if not cursor and section is not None and "of" in section:
        hint = "delete it: a window is pulled so long after its end, whatever its rows say"
        source.found.error(section.at("of"), "is for a query with a cursor", hint)
    first = cursor[0] if cursor else ""
    if section is None:
        return SettledRows(column=first, age=source.duration("settle", timedelta(0)))
    return SettledRows(column=section.text("of") or first, age=section.duration("for", timedelta(0)))
