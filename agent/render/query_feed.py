"""The result of a query as a feed: Arrow batches pass by, and with them where each row stands."""

# ruff: noqa: S608 - names and texts are quoted by `mapping`
from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from agent.config.model import SqlSource
from agent.config.sql_text import SqlText
from agent.errors import AgentError, RecordError, SourceError
from agent.mapping import identifier, literal
from agent.render.values import Context
from agent.sources import not_utf8
from agent.sources.asking import JSON_TEXT, NUMBER_TEXT, Answer, Question
from agent.sources.interrupt import interrupted_when
from agent.sources.mark import said
from agent.sources.positions import Positions
from agent.sources.relation import Column, Opened, Relation, Uses, require, unique

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLE = "__result"
_NUMBER = "'-?[0-9]+(\\.[0-9]+)?'"


@dataclass(kw_only=True)
class QueryFeed:
    """The rows of one question. Implements `Feed`."""

    source: SqlSource
    question: Question
    ctx: Context
    limit: int | None = None
    """Rows at most."""
    once: bool = True
    positions: Positions | None = field(init=False, default=None)
    _answer: Answer | None = field(init=False, default=None)
    _error: AgentError | None = field(init=False, default=None)

    @property
    def answer(self) -> Answer:
        """What the database gave; once it is open."""
        assert self._answer is not None
        return self._answer

    @property
    def name(self) -> str:
        """The database's."""
        return self.source.connection

    def open(self, stack: ExitStack, temp: Path) -> Opened:
        """Run the query. Raises SourceError, SecretError, and WiderError."""
        del temp
        if self.ctx.databases is None:
            raise SourceError("databases cannot be read here")
        with self.ctx.aside():
            self._answer = stack.enter_context(self.ctx.databases.ask(self.source.connection, self.question))
        stack.enter_context(interrupted_when(self.ctx.cancelled, self._answer.interrupt))
        found = Opened(path=self.name, reading="/dev/null", gzipped=False)
        names = self._answer.names
        require(found, (*self.source.columns, *self.source.types, *self.source.cursor), names)
        settle = self.source.settle
        keys = self.source.only.changed_by if self.source.only is not None else ()
        for name in (*self.source.cursor, *((settle.column,) if settle and settle.column else ()), *keys):
            require(found, (name,), names)
            if names.count(name) > 1:
                raise SourceError(f"{self.name}: the result has the column {name} more than once")
        if self.source.cursor:
            self.positions = Positions(self.source.cursor, of=self.name)
        return found

    def relation(self, con: DuckDBPyConnection, found: Opened, uses: Uses) -> Relation:
        """The result as it streams in."""
        assert self._answer is not None
        if uses.record or uses.every:
            unique(found, self._answer.names, hint="give each its own name in the query (AS), or write a map")
        schema = self._answer.schema.append(pa.field(not_utf8.WHY, pa.string()))
        reader = pa.RecordBatchReader.from_batches(schema, self._batches(self._answer))
        con.register(TABLE, reader)
        return relation(self._answer, self.source)

    def recheck(self) -> None:
        """What the database said, instead of what became of it on its way through DuckDB."""
        if self._error is not None:
            raise self._error

    def _batches(self, answer: Answer) -> Iterator[pa.RecordBatch]:
        """All before the first error. DuckDB hears of none: it would throw away what it holds."""
        try:
            yield from self._passed(answer)
        except AgentError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - it is raised by `recheck`
            self._error = SourceError(f"{self.name}: {type(error).__name__}: {error}")

    def _passed(self, answer: Answer) -> Iterator[pa.RecordBatch]:
        at = [answer.names.index(name) for name in self.source.cursor]
        kept = _Settled.of(self.source, answer, self.question, self.ctx)
        left = self.limit
        for given in answer.batches():
            batch = not_utf8.told(given, answer.names)
            old = batch if kept is None else kept.old(batch)
            old = old if left is None else old.slice(0, left)
            left = None if left is None else left - old.num_rows
            if self.positions is not None:
                columns = [batch.column(number) for number in at]
                taken = self.positions.add(columns)
                if taken < old.num_rows:
                    yield old.slice(0, taken)
                    self._not_utf8(old.column(not_utf8.WHY)[taken].as_py(), self.positions.rows + 1)
                    self.positions.refuse(columns, taken)
            yield old
            if old.num_rows < batch.num_rows:
                return  # the positions beyond stay: they tell whether the last row's group was cut
        if self.positions is None:
            return
        if not _is_cut(self.question.query, self.positions):
            self.positions.finish()
        elif self.positions.last_end(self.positions.rows) is None:
            raise RecordError(
                f"{self.name}: all {self.positions.rows} records that the LIMIT lets through have the same "
                f"values: {said(self.positions.at(1))}",
                hint="raise the LIMIT, or add a column to `cursor` that tells them apart",
            )

    def _not_utf8(self, why: str | None, row: int) -> None:
        """A cursor that was made NULL."""
        if why is not None:
            raise RecordError(f"{self.name} record {row}: {why}", hint="put it right in the database")


def _is_cut(query: SqlText, positions: Positions) -> bool:
    """Whether a LIMIT ended the result: rows with the last row's values may then be left behind it.

    Those of the last row are taken up again by the next run. One row alone is all that LIMIT 1 ever gives.
    """
    return query.limit is not None and positions.rows >= query.limit and positions.rows > 1


@dataclass(frozen=True, kw_only=True)
class _Settled:
    """`settle`: where the rows begin that are too young."""

    at: int
    name: str
    limit: datetime
    zone: str

    @classmethod
    def of(cls, source: SqlSource, answer: Answer, question: Question, ctx: Context) -> _Settled | None:
        """None where the source has no `settle`, or waits with a whole window."""
        if source.settle is None or not source.settle.column or ctx.window is not None:
            return None
        limit = datetime.fromtimestamp(ctx.clock.now(), UTC) - source.settle.age
        column = source.settle.column
        return cls(at=answer.names.index(column), name=column, limit=limit, zone=question.timezone)

    def old(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows before the first one that is too young: all of them, mostly."""
        young = pc.fill_null(self._is_young(batch.column(self.at)), False)  # noqa: FBT003 - a value
        first = pc.index(young, True).as_py()
        return batch if first < 0 else batch.slice(0, first)

    def _is_young(self, times: pa.Array) -> pa.Array:
        if pa.types.is_string(times.type):
            try:
                zoned = pc.cast(times, pa.timestamp("us", tz="UTC"))
                return pc.greater(zoned, pa.scalar(self.limit, zoned.type))
            except pa.ArrowInvalid:
                times = pc.cast(times, pa.timestamp("us"))
        if pa.types.is_null(times.type):  # no row has one
            return pa.nulls(len(times), pa.bool_())
        if not pa.types.is_timestamp(times.type):
            hint = (
                f"name the column with the time of writing: settle: {{of: …, for: …}} (this is {times.type})"
            )
            raise SourceError(f"settle needs a time, and the column {self.name} is none", hint=hint)
        naive = self.limit.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        limit = self.limit if times.type.tz is not None else naive
        return pc.greater(times, pa.scalar(limit, pa.timestamp("us", tz=times.type.tz)))


def relation(answer: Answer, source: SqlSource) -> Relation:
    """A result as rows. Columns have the types that the database gives; `types` casts them."""
    columns: list[Column] = []
    checks: list[str] = []
    raw: dict[str, str] = {}
    for number, (name, cast) in enumerate(zip(answer.names, answer.casts, strict=True)):
        own = f"__c{number}"
        wanted = source.types.get(name)
        if wanted is not None:
            tried = f"TRY_CAST({own} AS {wanted})"
            columns.append(Column(name=name, sql=tried))
            checks.append(_unfit(name, own, tried, f"a {wanted}"))
        elif cast == NUMBER_TEXT:
            # a number without bounds: its digits where it stands alone, a DOUBLE where it is reckoned with
            columns.append(Column(name=name, sql=f"TRY_CAST({own} AS DOUBLE)", text=own))
            raw[name.lower()] = f"CASE WHEN regexp_full_match({own}, {_NUMBER}) THEN CAST({own} AS JSON) END"
        elif cast == JSON_TEXT:
            tried = f"TRY_CAST({own} AS JSON)"
            columns.append(Column(name=name, sql=tried))
            # PostgreSQL's json takes what no JSON text can say, a half of a surrogate pair
            checks.append(_unfit(name, own, tried, "JSON that can be read"))
        else:
            columns.append(Column(name=name, sql=f"TRY_CAST({own} AS {cast})" if cast else own))
    if not_utf8.may_hold(answer.schema):
        checks.append(f"__{not_utf8.WHY}")
    inner = "".join(f"c{number} AS __c{number}, " for number in range(len(answer.names)))
    packed = ", ".join(
        f"{identifier(name or str(n))} := __c{n}" for n, name in enumerate(_unlike(answer.names))
    )
    return Relation(
        base=f"SELECT {inner}{not_utf8.WHY} AS __{not_utf8.WHY} FROM {TABLE}",
        columns=tuple(columns),
        names=answer.names,
        entries=tuple((column.name, raw.get(column.name.lower(), column.sql)) for column in columns),
        raw=raw,
        shown=f"CAST(to_json(struct_pack({packed})) AS VARCHAR)",
        checks=tuple(checks),
        line_of=lambda _row: None,
    )


def _unfit(name: str, own: str, tried: str, kind: str) -> str:
    """SQL of what is wrong with a value that is lost in a cast; NULL where none is."""
    shown = f"left(CAST({own} AS VARCHAR), 60)"
    why = f"{literal(f'column {name}: ')} || {shown} || {literal(f' is not {kind}')}"
    return f"CASE WHEN {own} IS NOT NULL AND {tried} IS NULL THEN {why} END"


def _unlike(names: tuple[str, ...]) -> list[str]:
    """Names of which no two are the same to SQL."""
    seen: set[str] = set()
    unlike = []
    for number, name in enumerate(names):
        unlike.append(name if name.lower() not in seen else f"{name}_{number}")
        seen.add(unlike[-1].lower())
    return unlike
