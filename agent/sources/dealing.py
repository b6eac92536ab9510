"""What `delivery:` and `receipt:` ask of each record, as SQL text: its lane, its time, its keys. Pure.

The lane is `the first 8 hex digits of md5(key) modulo lanes`: written out instead of DuckDB's own hash(),
which may be another one in its next version, and would bring a key into another lane.
"""

from __future__ import annotations

from agent.config.model import ByKey, Expr
from agent.errors import Problem
from agent.mapping import NAIVE, SqlType, literal, spliced

NO_TIME = 2**63 - 1
"""Stands for a record without a time: above all others, as it is the youngest there is."""
TIMES = frozenset(["varchar", "date", "timestamp with time zone", "null", *NAIVE])
"""Types that a time can be read from."""


def lane(order: ByKey) -> str:
    """SQL of the number of the lane, from 0; never NULL."""
    text = f"coalesce(CAST({spliced(order.expr.sql)} AS VARCHAR), '')"
    return f"(CAST('0x' || left(md5({text}), 8) AS UINTEGER) % {order.lanes})"


def key_mark(expr: Expr, type_: SqlType) -> str:
    """SQL of what is kept of a key (see `agent.receipt_keys`); 0 where there is none, never NULL."""
    return f"coalesce(md5_number_lower(nullif({_text(expr, type_)}, '')), CAST(0 AS UBIGINT))"


def subject(expr: Expr, type_: SqlType) -> str:
    """SQL of whose state a record tells, by `latest_by`: 32 hex digits; empty for NULL, never NULL.

    The expression is in it: values of another one, of the job as it was before, are not compared with these.
    """
    return f"coalesce(md5({literal(expr.sql)} || chr(0) || {_text(expr, type_)}), '')"


def _text(expr: Expr, type_: SqlType) -> str:
    value = spliced(expr.sql)
    text = f"CAST({value} AS VARCHAR)"
    if type_.kind == "json":
        return (
            f"CASE WHEN json_type({value}) = 'VARCHAR' THEN json_extract_string({value}, '$') ELSE {text} END"
        )
    return text


def as_of(expr: Expr, type_: SqlType) -> str:
    """SQL of the record's time in microseconds since 1970; `NO_TIME` for NULL and infinity, never NULL."""
    value = spliced(expr.sql)
    if type_.kind == "varchar":
        value = f"nullif(trim({value}), '')"
    elif type_.kind != "timestamp with time zone":
        value = f"CAST({value} AS TIMESTAMP)"
    moment = f"CAST({value} AS TIMESTAMPTZ)"
    return f"CAST(coalesce(CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END, {NO_TIME}) AS BIGINT)"


def no_time(expr: Expr, type_: SqlType) -> Problem | None:
    """What is wrong with a time of this type; None when nothing is."""
    if type_.kind in TIMES:
        return None
    return Problem(
        file=expr.where.file,
        line=expr.where.line,
        column=expr.where.column,
        path=expr.where.path,
        message=f"={expr.sql}: is no time, it is a {type_.kind.upper()}",
        hint="give a timestamp, a date or ISO 8601 text; to_timestamp(x) makes one of seconds since 1970",
    )
