"""PostgreSQL, through ADBC.

A query with parameters would be fetched whole into memory by the driver, since COPY takes none. So each
value is bound to a setting of the transaction, and the query reads it from there, with the type that the
column has in the result:

    SELECT set_config('push_agent.id', $1, true)
    COPY (SELECT … WHERE id > CAST(current_setting('push_agent.id') AS int8) …) TO STDOUT (FORMAT binary)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow as pa
from pyarrow.lib import ArrowException

from agent.config.model import Database
from agent.databases.postgres_types import (
    TooLateError,
    bound_as,
    kept,
    known,
    parameter,
    text_of,
    type_of,
    with_casts,
)
from agent.databases.values import Deadline, SignIn, cancelled, driver, hint_of, in_short, too_slow
from agent.errors import RecordError, SourceError
from agent.sources.asking import Answer, Question
from agent.sources.interrupt import interrupted_when
from agent.sources.relation import Opened, require

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection, Cursor

BATCH_BYTES = 1_000_000
"""Of an Arrow batch, about."""
_TIMED_OUT = "57014"


def ask(database: Database, sign_in: SignIn, question: Question) -> Iterator[Answer]:
    """Run the query for as long as the generator is held. Raises SourceError."""
    dbapi = driver("adbc_driver_postgresql.dbapi", kind="postgresql://", extra="postgres")
    try:
        con = dbapi.connect(_uri(database, sign_in), autocommit=False)
    except dbapi.Error as error:
        raise _translated(error, database, sign_in, question, "cannot be reached") from None
    with closing(con), closing(con.cursor()) as cursor:
        asked = _Answer(database, sign_in, question, cursor)
        try:
            # the driver waits for the first row here, which may never come
            with interrupted_when(question.cancelled, asked.interrupt):
                asked.start(con)
            yield asked
        except (dbapi.Error, ArrowException, OSError) as error:
            raise asked.translated(error) from None
        finally:
            asked.end()


def _uri(database: Database, sign_in: SignIn) -> str:
    """The URL with what must not stand in the config."""
    url = database.url
    if sign_in.username:
        who = quote(sign_in.username, safe="") + (
            f":{quote(sign_in.password, safe='')}" if sign_in.password else ""
        )
        url = url.replace("://", f"://{who}@", 1)
    seconds = max(2, round(database.timeout.total_seconds()))  # libpq takes whole seconds, 2 at least
    for option in (f"connect_timeout={seconds}", "application_name=push-agent"):
        if f"{option.partition('=')[0]}=" not in url:
            url += ("&" if "?" in url else "?") + option
    return url


class _Answer:
    """Implements `Answer`."""

    def __init__(self, database: Database, sign_in: SignIn, question: Question, cursor: Cursor) -> None:
        self._database = database
        self._sign_in = sign_in
        self._question = question
        self._cursor = cursor
        self._deadline = Deadline(database)
        self._reader: pa.RecordBatchReader | None = None
        self._interrupted = False
        self.names: tuple[str, ...] = ()
        self.schema = pa.schema([])
        self.casts: tuple[str, ...] = ()

    def start(self, con: Connection) -> None:
        """Begin the transaction, describe the query, run it."""
        cursor, question = self._cursor, self._question
        self._begin()
        described = self._described()
        if described is None:
            con.rollback()
            self._begin()
        else:
            found = Opened(path=self._database.name, reading="", gzipped=False)
            require(found, question.cursor, tuple(described.names))
        types = {field.name: type_of(field) for field in described or () if field.name in question.cursor}
        bound = {name: bound_as(mark, name, types.get(name, "")) for name, mark in question.marks.items()}
        marks = question.marks.items()
        self._set({f"push_agent.{name}": text_of(mark, name, bound[name]) for name, mark in marks})
        sql = question.query.written(lambda name: parameter(name, bound[name]))
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        cursor.execute(with_casts(sql, described))
        self._reader = cursor.fetch_record_batch()
        self._describe(self._reader.schema)

    def _begin(self) -> None:
        """The first statements of the transaction, which the driver has begun."""
        if self._database.read_only:
            self._cursor.execute("SET TRANSACTION READ ONLY")
        milliseconds = max(1, round(self._database.statement_timeout.total_seconds() * 1000))
        self._set({"statement_timeout": str(milliseconds)})

    def _set(self, settings: Mapping[str, str]) -> None:
        """Settings of this transaction, bound."""
        if not settings:
            return
        calls = ", ".join(f"set_config('{name}', ${at}, true)" for at, name in enumerate(settings, start=1))
        self._cursor.execute(f"SELECT {calls}", tuple(settings.values()))
        self._cursor.fetchall()

    def _described(self) -> pa.Schema | None:
        """The result's types, without running the query; None where a type hangs on a parameter."""
        nulled = self._question.query.written(lambda _: "NULL")
        try:
            return self._cursor.adbc_execute_schema(nulled)
        except Exception:
            if not self._question.query.parameters:
                raise
            return None

    def _describe(self, schema: pa.Schema) -> None:
        self.names = tuple(schema.names)
        fields, casts = [], []
        for number, field in enumerate(schema):
            kept, cast = known(field)
            fields.append(pa.field(f"c{number}", kept))
            casts.append(cast)
        self.schema, self.casts = pa.schema(fields), tuple(casts)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `Answer`."""
        assert self._reader is not None
        done = 0
        try:
            for batch in self._reader:
                self._deadline.check(self._database.name)
                columns = [
                    self._kept(batch.columns[number], number, done) for number in range(len(self.names))
                ]
                done += batch.num_rows
                yield pa.record_batch(columns, schema=self.schema)
        except (ArrowException, OSError) as error:
            raise self.translated(error) from None

    def _kept(self, column: pa.Array, number: int, done: int) -> pa.Array:
        try:
            return kept(column, self.schema.field(number).type)
        except TooLateError as error:
            where = f"{self._database.name} record {done + error.row + 1}: column {self.names[number]}"
            raise RecordError(
                f"{where}: the time is beyond the year 294246",
                hint="leave such rows out in the query, or cast the column to text",
            ) from None

    def interrupt(self) -> None:
        """See `Answer`."""
        self._interrupted = True
        try:
            self._cursor.adbc_cancel()
        except Exception:  # noqa: BLE001 - it may be over already, and nobody can do more
            return

    def end(self) -> None:
        """Let go of a result that was not read to its end."""
        if self._reader is not None:
            if not self._interrupted:
                self.interrupt()
            self._reader.close()

    def translated(self, error: Exception) -> SourceError:
        """An error of the driver in our words."""
        if self._interrupted or self._question.cancelled():
            return cancelled(self._database.name)
        if getattr(error, "sqlstate", None) == _TIMED_OUT or "statement timeout" in str(error):
            return too_slow(self._database.name, self._database.statement_timeout.total_seconds())
        return _translated(error, self._database, self._sign_in, self._question, "")


def _translated(
    error: Exception, database: Database, sign_in: SignIn, question: Question, what: str
) -> SourceError:
    if isinstance(error, SourceError):
        return error
    text = sign_in.clean(str(error))
    said = re.search(r"(?:ERROR|FATAL):\s+(.*?)\s*(?:\n|\. SQLSTATE|$)", text)
    hint = re.search(r"\n(?:HINT|DETAIL):\s+(.*?)\s*(?:\n|$)", text)
    line = re.search(r"\nLINE (\d+): (.*)\n", text)
    words = said.group(1) if said else re.sub(r"^[A-Z_]+: |\[libpq\] |Failed to connect: ", "", text)
    place = f" (line {line.group(1)} of the query)" if line and question.query.text.count("\n") else ""
    where = f"{database.name}: {what}: " if what else f"{database.name}: "
    return SourceError(
        where + in_short(words) + place, hint=in_short(hint.group(1)) if hint else hint_of(words)
    )
