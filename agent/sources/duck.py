"""The locked-down DuckDB: what an expression may reach is the one file being read, and nothing else.

Imported only for sources that are read record by record; whole-file jobs never load it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb

from agent.errors import SourceError
from agent.mapping import SqlType, literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_STRINGS = r""" '"(?:[^"\\]|\\.)*"' """
_NOT_JSON = r""" '(?i)nan|inf|,\s*[\]}]' """
"""What DuckDB's JSON takes and RFC 8259 does not, once the strings are taken out of the text."""
_NO_NUMBER = r"\s*-?(?:[nN][aA][nN]|[iI][nN][fF])"
_MAYBE_NOT_JSON = f"""regexp_matches(x, ',\\s*(?:[\\]}}]|{_NO_NUMBER})')
        OR regexp_matches(x, ':{_NO_NUMBER}') OR regexp_matches(x, '\\[{_NO_NUMBER}')
        OR NOT starts_with(x, '{{') AND regexp_matches(x, '^{_NO_NUMBER}')"""
"""Of every such text this is true, and rarely of another one. A regular expression that begins with one
certain character costs a fifth of one that does not: it is tried at few places."""

_NOT_XML = r""" '[\x00-\x08\x0b\x0c\x0e-\x1f\x{FFFE}\x{FFFF}]' """
"""What XML 1.0 cannot hold, of what UTF-8 can."""
_MARKUP = r""" '[&<>"\x00-\x1f\x{FFFE}\x{FFFF}]' """
"""And what is written otherwise in it."""

_IN_RANGE = "epoch_us(t) BETWEEN -62135596800000000 AND 253402300799999999"
"""The years 1 to 9999, as RFC 3339 has them."""
_SECONDS = "strftime(make_timestamp(epoch_us(t)), '%Y-%m-%dT%H:%M:%SZ')"
_MICROS = "replace(CAST(make_timestamp(epoch_us(t)) AS VARCHAR), ' ', 'T') || 'Z'"
"""With a fraction: the cast trims its zeros, but is slower."""


def _escaped(sql: str) -> str:
    for char, written in (
        ("'&'", "&amp;"),
        ("'<'", "&lt;"),
        ("'>'", "&gt;"),
        ("'\"'", "&quot;"),
        ("chr(9)", "&#9;"),
        ("chr(10)", "&#10;"),
        ("chr(13)", "&#13;"),
    ):
        sql = f"replace({sql}, {char}, '{written}')"
    return sql


STREAMED = 5_000_000
"""Bytes of a result that are computed ahead of who reads it: 10 MB of its own accord; 2 MB cost 3 % more."""

MACROS = (
    # A cast that fails: unlike error() it is not volatile, so TRY may stand around it. The second
    # argument ties it to the record: otherwise it is a constant and fails when it is planned.
    "CREATE MACRO __fail(said, x) AS CAST('push-agent: ' || said || left(coalesce(x, ''), 0) AS INTEGER)",
    f"""CREATE MACRO __json_ok(x) AS CASE WHEN {_MAYBE_NOT_JSON} THEN
        NOT regexp_matches(regexp_replace(x, {_STRINGS}, '0', 'g'), {_NOT_JSON}) ELSE true END""",
    """CREATE MACRO __json(x) AS CASE WHEN x IS NULL OR __json_ok(x) THEN x ELSE
        CAST(__fail('NaN, Infinity and trailing commas are not JSON: ' || left(x, 60), x) AS VARCHAR) END""",
    # an infinity is NULL
    f"""CREATE MACRO __rfc3339(t) AS CASE
        WHEN {_IN_RANGE} THEN CASE WHEN epoch_us(t) % 1000000 = 0 THEN {_SECONDS} ELSE {_MICROS} END
        WHEN isfinite(t) THEN CAST(__fail('RFC 3339 has no such year: ' || CAST(t AS VARCHAR),
            CAST(t AS VARCHAR)) AS VARCHAR) END""",
    f"""CREATE MACRO __naive(t) AS CASE
        WHEN {_IN_RANGE} THEN replace(CAST(t AS VARCHAR), ' ', 'T')
        WHEN isfinite(t) THEN CAST(__fail('RFC 3339 has no such year: ' || CAST(t AS VARCHAR),
            CAST(t AS VARCHAR)) AS VARCHAR) END""",
    f"""CREATE MACRO __xml_bad(x, place) AS CASE WHEN regexp_matches(x, {_NOT_XML}) THEN
        place || ': U+' || printf('%04X', unicode(regexp_extract(x, {_NOT_XML})))
        || ' cannot stand in XML' END""",
    f"""CREATE MACRO __xml(x, place) AS CASE WHEN NOT regexp_matches(x, {_MARKUP}) THEN x
        WHEN regexp_matches(x, {_NOT_XML}) THEN CAST(__fail(__xml_bad(x, place), x) AS VARCHAR)
        ELSE {_escaped("x")} END""",
    # four searches for one character each: half the time of one regular expression
    """CREATE MACRO __csv(x, d) AS CASE WHEN x = '' OR contains(x, d) OR contains(x, '"')
        OR contains(x, chr(10)) OR contains(x, chr(13))
        THEN '"' || replace(x, '"', '""') || '"' ELSE x END""",
    "CREATE MACRO utc(x) AS __rfc3339(CAST(x AS TIMESTAMPTZ))",
)


def connect(
    *,
    file: str | Sequence[str],
    temp: Path,
    memory: int,
    threads: int,
    timezone: str,
    careful: bool = False,
) -> DuckDBPyConnection:
    """Open a connection that can read `file` (or each of several) and nothing else.

    Its cursors are connections of their own, locked down and set up as it is, but for `STREAMED`.

    `memory` is in bytes. `temp` is the folder it may spill to: DuckDB lets SQL reach what lies in it, so it
    must belong to this connection alone. `timezone` is how naive times are read. `careful` is for queries
    with TRY: an expression that is there twice would be computed once, before TRY stands around it.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_unsigned_extensions": "false",
        "python_enable_replacements": "false",
    }
    allowed = [file] if isinstance(file, str) else file
    con = duckdb.connect(":memory:", config=settings)
    try:
        for statement in (
            f"SET memory_limit={literal(f'{max(memory, 32_000_000)}B')}",
            f"SET threads={max(1, threads)}",
            f"SET temp_directory={literal(str(temp))}",
            f"SET GLOBAL TimeZone={literal(timezone)}",
            "SET preserve_insertion_order=true",
            "SET enable_external_file_cache=false",
            f"SET streaming_buffer_size={literal(f'{STREAMED}B')}",
            f"SET allowed_paths=[{', '.join(literal(path) for path in allowed)}]",
            *MACROS,
            f"SET disabled_optimizers={literal('common_subexpressions' if careful else '')}",
            # From here on nothing can be reached and nothing can be set back.
            "SET enable_external_access=false",
            "SET lock_configuration=true",
        ):
            con.execute(statement)
    except duckdb.Error as error:
        con.close()
        said = str(error).splitlines()[0]
        raise SourceError(f"DuckDB cannot be set up: {said}", hint="check the schedule's timezone") from error
    return con


def query(con: DuckDBPyConnection, sql: str) -> DuckDBPyRelation:
    """The relation of a SELECT, not yet run."""
    relation = con.sql(sql)
    assert relation is not None
    return relation


def rows(con: DuckDBPyConnection, sql: str) -> list[tuple[object, ...]]:
    """Run a SELECT and fetch all of it: for answers of a few rows."""
    return cast("list[tuple[object, ...]]", query(con, sql).fetchall())


def types(con: DuckDBPyConnection, sql: str) -> list[SqlType]:
    """The types of a SELECT's columns; it is bound, not run."""
    return [sql_type(found) for found in query(con, sql).types]


def sql_type(found: object) -> SqlType:
    """What DuckDB says of a type, as our value."""
    if str(found) == "JSON":
        return SqlType(kind="json")
    kind = str(getattr(found, "id", found)).lower()
    if kind in ("struct", "list", "map", "array", "tuple"):
        children = cast("list[tuple[str, object]]", getattr(found, "children", []))
        return SqlType(
            kind=kind,
            children=tuple(
                (name, sql_type(child)) for name, child in children if name != "size" or kind == "struct"
            ),
        )
    return SqlType(kind=kind)


def descriptor_path(descriptor: int) -> str:
    """A name for an open file that no rename, symbolic link or glob character can turn into another."""
    return f"/proc/self/fd/{descriptor}"
