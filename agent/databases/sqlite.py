"""SQLite, through ADBC.

SQLite has no types of columns, only of values: the driver takes those of the first rows, and fails at a row
that has another. A column that is NULL in all of them is looked into before; one that turns out to be wider
later is asked for again (`WiderError`). The driver cannot be interrupted, so the query's way to its first
rows is tried with Python's own SQLite, which can; what takes too long behind them is left alone (`Steps`).
"""

# ruff: noqa: S608 - names are quoted, values are bound
from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_sqlite import dbapi
from pyarrow.lib import ArrowException

from agent.config.model import Database
from agent.databases.nothing import type_if_any, typed
from agent.databases.steps import Steps
from agent.databases.values import (
    MOST_ROWS,
    Deadline,
    SignIn,
    cancelled,
    hint_of,
    identifier,
    in_short,
    rows_at_once,
    too_slow,
)
from agent.errors import SourceError
from agent.sources.asking import Answer, Question, WiderError
from agent.sources.mark import Mark

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

_SAMPLE = 16
"""Rows that are looked at to know how large they are."""
_STEPS = 10_000
"""Instructions of SQLite's machine between two looks whether to go on: well below a millisecond."""
_EXAMPLES = {"REAL": "0.0", "TEXT": "''", "BLOB": "x''"}
_ROUNDED = r"^-?[0-9]\.[0-9]{6}e[+-][0-9]{2,3}$"
"""How the driver writes a number into a column of text: with six of its digits."""
_TEXT_AFFINITY = re.compile("CHAR|CLOB|TEXT", re.IGNORECASE)


def ask(database: Database, sign_in: SignIn, question: Question) -> Iterator[Answer]:
    """Run the query for as long as the generator is held. Raises SourceError, WiderError."""
    path = Path(urlsplit(database.url).path[1:])
    if not path.is_file():
        raise SourceError(f"{database.name}: there is no file {path}", hint="see `url` of the connection")
    del sign_in
    asked = _Answer(database, question, path)
    with asked.open():
        yield asked


class _Answer:
    """Implements `Answer`."""

    def __init__(self, database: Database, question: Question, path: Path) -> None:
        self._database = database
        self._question = question
        self._uri = f"file:{quote(str(path))}?mode={'ro' if database.read_only else 'rw'}"
        self._deadline = Deadline(database)
        self._interrupted = False
        self._rows = MOST_ROWS
        self._steps: Steps | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._first: pa.RecordBatch | None = None
        self.names: tuple[str, ...] = ()
        self.schema = pa.schema([])
        self.casts: tuple[str, ...] = ()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Look at the query, then run it."""
        with self._translating():
            wider = dict(self._question.wider)
            values = self._look()
            con = dbapi.connect(self._uri)
        cursor = con.cursor()

        def close() -> None:
            self._close()
            cursor.close()
            con.close()

        self._steps = steps = Steps(self._question.job, self._database.name, self._is_over, close)
        try:
            with self._translating():
                steps.take(lambda: self._run(cursor, wider, values))
                found = self._rounded()
                if unknown := self._all_null():
                    found |= self._types_of(unknown, values)
                if found:
                    self._close()
                    steps.take(lambda: self._run(cursor, found | wider, values))
            yield
        finally:
            steps.close()

    def _look(self) -> list[object]:
        """The values for `?1`, `?2`, …; the query is run to its first row, if it comes in time."""
        question = self._question
        with self._looking() as con:
            affinities = (
                self._affinities(con) if any(m.kind == "lowest" for m in question.marks.values()) else {}
            )
            values = [_value(question.marks[name], affinities.get(name, "")) for name in question.query.names]
            con.text_factory = bytes  # what is not UTF-8 is told with its record, later
            cursor = con.execute(self._sql({}), values)
            self.names = tuple(column[0] for column in cursor.description or ())
            self._rows = rows_at_once(cursor.fetchmany(_SAMPLE))
        return values

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        with closing(
            sqlite3.connect(self._uri, uri=True, timeout=self._database.timeout.total_seconds())
        ) as con:
            con.set_progress_handler(self._is_over, _STEPS)
            yield con

    @property
    def _stopped(self) -> bool:
        return self._interrupted or self._question.cancelled()

    def _is_over(self) -> bool:
        return self._deadline.is_over or self._stopped

    def _affinities(self, con: sqlite3.Connection) -> dict[str, str]:
        """The types that the result's columns are declared with, where they come from a table as they are."""
        nulled = self._question.query.written(lambda _: "NULL")
        con.execute(f"CREATE TEMP VIEW push_agent AS {nulled}")
        rows = con.execute("PRAGMA temp.table_info(push_agent)").fetchall()
        return {str(row[1]): str(row[2]) for row in rows}

    def _sql(self, wider: dict[str, str]) -> str:
        numbers = {name: number for number, name in enumerate(self._question.query.names, start=1)}
        sql = self._question.query.written(lambda name: f"?{numbers[name]}")
        if not wider:
            return sql
        chosen, example = [], []
        for name in self.names:
            own, kind = identifier(name), wider.get(name)
            chosen.append(own if kind is None else f"CAST({own} AS {kind}) AS {own}")
            example.append(_EXAMPLES.get(kind or "", "NULL") + f" AS {own}")
        # NULL has no type, whatever it is cast to: a row before all others shows what the columns are
        return f"SELECT {', '.join(example)} UNION ALL SELECT {', '.join(chosen)} FROM (\n{sql})"

    def _run(self, cursor: Cursor, wider: dict[str, str], values: list[object]) -> None:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(self._rows)})
        bound = pa.record_batch(
            [pa.array([value]) for value in values], [f"p{n}" for n in range(len(values))]
        )
        cursor.execute(self._sql(wider), bound if values else None)
        self._reader = cursor.fetch_record_batch()
        self._first = next(iter(self._reader), None)
        if self._first is not None and wider:
            self._first = self._first.slice(1)
        self.names = tuple(self._reader.schema.names)
        types = [type_if_any(*pair) for pair in zip(self._reader.schema.types, self._columns(), strict=True)]
        self.schema = pa.schema([pa.field(f"c{number}", type_) for number, type_ in enumerate(types)])
        self.casts = ("",) * len(self.names)

    def _columns(self) -> list[pa.Array | None]:
        """Of the whole result; None where there may be more than its first batch."""
        assert self._reader is not None
        if self._first is None:
            return [pa.nulls(0)] * len(self._reader.schema)
        return list(self._first.columns) if self._is_all else [None] * self._first.num_columns

    @property
    def _is_all(self) -> bool:
        return self._first is None or self._first.num_rows < self._rows - 1

    def _all_null(self) -> list[str]:
        if self._first is None or self._is_all:
            return []
        pairs = zip(self.names, self._first.columns, strict=True)
        return [name for name, column in pairs if column.null_count == len(column)]

    def _rounded(self) -> dict[str, str]:
        """Columns of text with fractions among their first values: SQLite writes all digits of them."""
        found = {}
        for name, column in zip(self.names, self._first.columns if self._first else (), strict=False):
            for wider, is_of in (("TEXT", pa.types.is_string), ("BLOB", pa.types.is_binary)):
                if is_of(column.type) and pc.any(pc.match_substring_regex(column, _ROUNDED)).as_py():
                    found[name] = wider
        return found

    def _types_of(self, columns: list[str], values: list[object]) -> dict[str, str]:
        """For columns that were NULL so far: what they hold later, where it is no whole number."""
        found = {}
        with self._looking() as con:
            for name in columns:
                own = identifier(name)
                sql = f"SELECT typeof({own}) FROM (\n{self._sql({})}) WHERE {own} IS NOT NULL LIMIT 1"
                row = con.execute(sql, values).fetchone()
                if row is not None and row[0] != "integer":
                    found[name] = "REAL" if row[0] == "real" else "TEXT"
        return found

    def batches(self) -> Iterator[pa.RecordBatch]:
        """See `Answer`."""
        assert self._reader is not None
        assert self._steps is not None
        following = partial(next, self._reader, None)
        with self._translating():
            batch = self._first
            while batch is not None:
                self._go_on()
                yield pa.record_batch(typed(batch.columns, self.schema), schema=self.schema)
                batch = self._steps.take(following)

    def _go_on(self) -> None:
        if self._stopped:
            raise cancelled(self._database.name)
        self._deadline.check(self._database.name)

    def interrupt(self) -> None:
        """See `Answer`."""
        self._interrupted = True

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (dbapi.Error, sqlite3.Error, ArrowException, OSError) as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> SourceError:
        name = self._database.name
        if self._stopped:
            return cancelled(name)
        if self._deadline.is_over:
            return too_slow(name, self._database.statement_timeout.total_seconds())
        mismatch = re.search(r"Type mismatch in column (\d+): expected (\w+) but got (\w+)", str(error))
        if mismatch is not None:
            column = self.names[int(mismatch.group(1))]
            first, later = mismatch.groups()[1:]
            # bytes are no text, whatever comes behind them
            wider = "REAL" if {first, later} == {"INT64", "DOUBLE"} else "BLOB" if first == "BLOB" else "TEXT"
            said = f"{name}: the column {column} holds {later} where its first rows hold {first}"
            return WiderError(said, {**self._question.wider, column: wider})
        words = re.sub(r"^[A-Z_]+: |\[SQLite\] |\[libsqlite3\] |Failed to \w+ query: ", "", str(error))
        return SourceError(f"{name}: {in_short(words.partition(chr(10))[0])}", hint=hint_of(words))


def _value(mark: Mark, declared: str) -> object:
    if mark.kind == "lowest":
        # REAL comes before TEXT and BLOB, but a column of text makes text of what it is compared with
        return "" if _TEXT_AFFINITY.search(declared) and "INT" not in declared.upper() else float("-inf")
    if mark.kind in {"timestamptz", "timestamp"}:
        text = mark.text.removesuffix("+00:00").replace("T", " ")
        return text.rstrip("0").rstrip(".") if "." in text else text  # as SQLite's datetime() writes it
    if mark.kind in {"date", "time", "decimal", "uuid"}:
        return mark.text
    return int(mark.plain) if isinstance(mark.plain, bool) else mark.plain
