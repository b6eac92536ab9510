"""MySQL, MariaDB, SQL Server and Oracle: SQLAlchemy, a cursor on the server's side, rows to Arrow by batches.

The types are those of Python: the driver makes them, Arrow takes them over column by column. A column that
is NULL in all rows of the first batch is text, where there are more of them; else it fits any expression.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from agent.config.model import Database
from agent.databases.values import (
    MOST_ROWS,
    Deadline,
    SignIn,
    cancelled,
    driver,
    hint_of,
    in_short,
    rows_at_once,
    too_slow,
)
from agent.errors import SourceError
from agent.sources.asking import Answer, Question, WiderError
from agent.sources.mark import Mark, Plain
from agent.sources.relation import Opened, require

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, CursorResult

_EXTRAS = {"pymysql": "mysql", "pymssql": "mssql", "oracledb": "oracle"}
_SAMPLE = 16
"""Rows that are looked at to know how large they are."""
_NEWDECIMAL = 246
"""MySQL's DECIMAL, which its driver counts among no kind of types."""
_TEXT_KINDS = (str, uuid.UUID, dict, list)
LOWEST: Mapping[str, Plain] = {
    "NUMBER": -1e125,  # the smallest that Oracle has
    "DATETIME": datetime(1753, 1, 1),  # noqa: DTZ001 - naive, as the column may be
    "STRING": "",
    "BINARY": "",  # MySQL's TEXT calls itself so
}
"""By the type that DBAPI drivers tell of a column. 1753 is where SQL Server's DATETIME begins."""


def ask(database: Database, sign_in: SignIn, question: Question) -> Iterator[Answer]:
    """Run the query for as long as the generator is held. Raises SourceError, WiderError."""
    url = make_url(database.url)
    name = url.get_driver_name()
    if name in _EXTRAS:
        driver(name, kind=f"{url.drivername}://", extra=_EXTRAS[name])
    url = _signed(url, sign_in)
    engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(name, database))
    asked = _Answer(database, sign_in, question)
    try:
        with engine.connect() as con, closing(asked):
            asked.start(con)
            yield asked
    except SQLAlchemyError as error:
        raise asked.translated(error) from None
    finally:
        engine.dispose()


def _signed(url: URL, sign_in: SignIn) -> URL:
    if not sign_in.username:
        return url
    return url.set(username=sign_in.username, password=sign_in.password or None)


def _connect_args(name: str, database: Database) -> dict[str, Any]:
    seconds = max(1, round(database.timeout.total_seconds()))
    longest = max(1, round(database.statement_timeout.total_seconds()))
    match name:
        case "pymysql":
            return {"connect_timeout": seconds, "read_timeout": longest}
        case "pymssql":
            return {"login_timeout": seconds, "timeout": longest}
        case "oracledb":
            return {"tcp_connect_timeout": seconds}
    return {}


class _Answer:
    """Implements `Answer`."""

    def __init__(self, database: Database, sign_in: SignIn, question: Question) -> None:
        self._database = database
        self._sign_in = sign_in
        self._question = question
        self._deadline = Deadline(database)
        self._interrupted = False
        self._rows = MOST_ROWS
        self._con: Connection | None = None
        self._result: CursorResult[Any] | None = None
        self._cursor: object = None
        self._first: list[Any] = []
        self.names: tuple[str, ...] = ()
        self.schema = pa.schema([])
        self.casts: tuple[str, ...] = ()

    def start(self, con: Connection) -> None:
        """Begin the transaction and run the query."""
        self._con = con
        for statement in _first_statements(con, self._database):
            con.exec_driver_sql(statement)
        values = {name: _value(mark) for name, mark in self._question.marks.items() if mark.kind != "lowest"}
        if len(values) < len(self._question.marks):
            values |= self._lowest(con)
        sql = _for_sqlalchemy(self._question)
        streaming = con.execution_options(stream_results=True, max_row_buffer=_SAMPLE)
        self._result = streaming.execute(text(sql), values)
        self._cursor = self._result.cursor
        self.names = tuple(self._result.keys())
        sample = list(self._result.fetchmany(_SAMPLE))
        self._rows = rows_at_once(sample)
        self._first = sample + list(self._result.fetchmany(self._rows - len(sample)))
        columns = list(zip(*self._first, strict=True)) or [()] * len(self.names)
        types = [self._type(name, column) for name, column in zip(self.names, columns, strict=True)]
        self.schema = pa.schema([pa.field(f"c{number}", kind) for number, kind in enumerate(types)])
        self.casts = ("",) * len(self.names)

    def _lowest(self, con: Connection) -> dict[str, Plain]:
        """What the cursor starts with at its beginning, by the types that the driver tells."""
        nulls = dict.fromkeys(self._question.query.names)
        described = con.execute(text(_for_sqlalchemy(self._question)), nulls)
        cursor = described.cursor
        assert cursor is not None
        kinds = {str(column[0]): column[1] for column in cursor.description}
        described.close()
        found = Opened(path=self._database.name, reading="", gzipped=False)
        require(found, self._question.cursor, tuple(kinds))
        lowest = [name for name, mark in self._question.marks.items() if mark.kind == "lowest"]
        return {name: self._smallest(con, name, kinds.get(name)) for name in lowest}

    def _smallest(self, con: Connection, name: str, kind: object) -> Plain:
        dbapi = con.dialect.loaded_dbapi
        if kind == _NEWDECIMAL and con.dialect.name in {"mysql", "mariadb"}:
            return LOWEST["NUMBER"]
        for word, smallest in LOWEST.items():
            known = getattr(dbapi, word, None)
            if known is not None and kind == known:
                return smallest
        for word in ("TIMESTAMP", "DATE"):
            if kind == getattr(dbapi, word, self):
                return LOWEST["DATETIME"]
        hint = f"write `start: {{{name}: …}}` with a value that is smaller than all others"
        raise SourceError(f"start: beginning knows no smallest value of the column {name}", hint=hint)

    def _type(self, name: str, column: tuple[Any, ...]) -> pa.DataType:
        kind = self._question.wider.get(name)
        if kind is not None:
            return pa.float64() if kind == "REAL" else pa.string()
        found = next((value for value in column if value is not None), None)
        if found is None and len(self._first) < self._rows:  # in the whole result
            return pa.null()
        if found is None or isinstance(found, _TEXT_KINDS):
            return pa.string()
        if isinstance(found, Decimal):
            scale = max((-int(v.as_tuple().exponent) for v in column if v is not None), default=0)
            return pa.decimal128(38, max(scale, 0))
        return self._array(name, column, None).type

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `Answer`."""
        assert self._result is not None
        try:
            rows = self._first
            while rows:
                if self._interrupted or self._question.cancelled():
                    raise cancelled(self._database.name)
                self._deadline.check(self._database.name)
                columns = zip(*rows, strict=True)
                arrays = [
                    self._array(name, column, field.type)
                    for name, column, field in zip(self.names, columns, self.schema, strict=True)
                ]
                yield pa.record_batch(arrays, schema=self.schema)
                rows = list(self._result.fetchmany(self._rows))
        except SQLAlchemyError as error:
            raise self.translated(error) from None

    def _array(self, name: str, column: tuple[Any, ...], kind: pa.DataType | None) -> pa.Array:
        if kind is not None and pa.types.is_string(kind):
            column = tuple(map(_as_text, column))
        elif kind is not None and pa.types.is_floating(kind):
            column = tuple(None if value is None else float(value) for value in column)
        try:
            made = pa.array(column)
            if kind is None or made.type == kind:
                return made
            if pa.types.is_boolean(kind) and made.null_count < len(made):
                raise pa.ArrowInvalid("not a boolean")
            # not pa.array(column, kind): that makes 2 of 2.5 without a word
            return made.cast(kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            numbers = all(value is None or isinstance(value, int | float | Decimal) for value in column)
            wider = "REAL" if numbers and kind is not None and not pa.types.is_decimal(kind) else "TEXT"
            said = f"{self._database.name}: the column {name} holds values of several types"
            raise WiderError(said, {**self._question.wider, name: wider}) from error

    def interrupt(self) -> None:
        """See `Answer`. What is under way ends by itself or by its timeout."""
        self._interrupted = True

    def close(self) -> None:
        """Let go of a result that was not read to its end."""
        # PyMySQL reads all that is left when it forgets a cursor, also of a connection that is lost
        rest: Any = getattr(self._cursor, "_result", None)
        if hasattr(rest, "unbuffered_active"):
            rest.unbuffered_active = False
        if self._result is not None and self._con is not None:
            self._con.invalidate()  # closing it would read all that is left

    def translated(self, error: Exception) -> SourceError:
        """An error of the driver in our words."""
        name = self._database.name
        if self._interrupted or self._question.cancelled():
            return cancelled(name)
        if self._deadline.is_over:
            return too_slow(name, self._database.statement_timeout.total_seconds())
        # without the statement and its values, which SQLAlchemy adds
        words = self._sign_in.clean(_words(getattr(error, "orig", None) or error))
        return SourceError(f"{name}: {in_short(words)}", hint=hint_of(words))


def _words(error: BaseException) -> str:
    """What a driver says; PyMySQL and pymssql give a number and a text."""
    match error.args:
        case [int(number), str() | bytes() as said]:
            return f"{said.decode('utf-8', 'replace') if isinstance(said, bytes) else said} (error {number})"
    return str(error)


def _first_statements(con: Connection, database: Database) -> list[str]:
    """What makes the transaction one that only reads, and ends a query in time."""
    seconds = max(1, round(database.statement_timeout.total_seconds()))
    match con.dialect.name:
        case "mysql" | "mariadb":
            limit = (
                f"SET SESSION max_statement_time = {seconds}"
                if getattr(con.dialect, "is_mariadb", False)
                else f"SET SESSION max_execution_time = {seconds * 1000}"
            )
            utc = "SET SESSION time_zone = '+00:00'"
            return [utc, limit, *(["START TRANSACTION READ ONLY"] if database.read_only else [])]
        case "oracle":
            return ["SET TRANSACTION READ ONLY"] if database.read_only else []
        case "postgresql":
            return ["SET TRANSACTION READ ONLY"] if database.read_only else []
    return []


def _for_sqlalchemy(question: Question) -> str:
    """Its own `:names` are ours; every other colon is text."""
    mark = "\0"
    marked = question.query.written(lambda name: f"{mark}{name}")
    return marked.replace(":", "\\:").replace(mark, ":")


def _value(mark: Mark) -> Plain:
    """As these drivers take it: most know no time zones, so a time with one becomes that of UTC."""
    value = mark.plain
    if mark.kind == "timestamptz" and isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _as_text(value: object) -> str | None:
    match value:
        case None | str():
            return value
        case bytes() | memoryview():
            return bytes(value).decode("utf-8", "replace")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
