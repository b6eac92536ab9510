"""Which row has which values of the cursor, beside the stream of bodies. No Python per record.

Batches of a query's result pass by here on their way to DuckDB, which keeps their order and their number;
only the cursor's columns are kept, until the rows are spooled:

    rows      1 … 4096            4097 … 8192          behind each: may a chunk end here?
    cursor    (t, id) of each     (t, id) of each      yes, where the next row has other values

A row after which the next one is not known yet is no end.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID as UUID_OF

import pyarrow as pa
import pyarrow.compute as pc

from agent.errors import RecordError
from agent.sources.mark import Mark, Marks, mark_of, said, unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = "extension<arrow.uuid>"
_ORDERED = (pa.types.is_integer, pa.types.is_floating, pa.types.is_temporal, pa.types.is_decimal)
"""Types whose order is the same here and in every database; that of text depends on its collation."""


@dataclass(kw_only=True, slots=True)
class _Part:
    """The cursor's columns of one batch."""

    first: int
    """The number of its first row, from 1."""
    columns: list[pa.Array]
    ends: pa.Array
    """Of each row, whether the next one has other values."""

    @property
    def last(self) -> int:
        return self.first + len(self.ends) - 1


class Positions:
    """The positions of one reading. Filled by DuckDB's thread, asked by the one that cuts bodies."""

    def __init__(self, names: tuple[str, ...], *, of: str) -> None:
        """`of`: whose rows they are, for errors."""
        self._names = names
        self._of = of
        self._parts: list[_Part] = []
        self._lock = threading.Lock()
        self._rows = 0
        self._uuids: set[str] = set()

    @property
    def rows(self) -> int:
        """Rows that have passed by."""
        return self._rows

    def add(self, columns: Sequence[pa.Array]) -> int:
        """The next batch; how many of its rows were taken: those before the first NULL (see `refuse`).

        Raises RecordError where the order is not ascending, SourceError for a type that has none.
        """
        for name, column in zip(self._names, columns, strict=True):
            if pa.types.is_nested(column.type) or pa.types.is_interval(column.type):
                raise unfit(name, str(column.type))
        self._uuids = {n for n, c in zip(self._names, columns, strict=True) if str(c.type) == UUID}
        columns = [c.storage if isinstance(c, pa.ExtensionArray) else c for c in columns]
        count = min((_first_null(column) for column in columns), default=0)
        if not count:
            return 0
        columns = [column[:count] for column in columns]
        with self._lock:
            before = self._parts[-1] if self._parts else None
            behind = [column[:1] for column in columns]
            if before is not None:
                pairs = [(one[-1:], two) for one, two in zip(before.columns, behind, strict=True)]
                changed = self._compared(pairs, self._rows + 1)
                before.ends = pa.concat_arrays([before.ends[:-1], changed])
            inner = self._compared([(column[:-1], column[1:]) for column in columns], self._rows + 2)
            ends = pa.concat_arrays([inner, pa.array([False])])
            self._parts.append(_Part(first=self._rows + 1, columns=columns, ends=ends))
            self._rows += count
        return count

    def finish(self) -> None:
        """There is no further row: the last one is an end."""
        with self._lock:
            if self._parts:
                part = self._parts[-1]
                part.ends = pa.concat_arrays([part.ends[:-1], pa.array([True])])

    def refuse(self, columns: Sequence[pa.Array], at: int) -> NoReturn:
        """Raise RecordError for the row `at` of a batch, which has NULL; those before it were taken."""
        name = next(n for n, c in zip(self._names, columns, strict=True) if not c[at].is_valid)
        timed = any(
            pa.types.is_temporal(c.type) for n, c in zip(self._names, columns, strict=True) if n == name
        )
        raise RecordError(
            f"{self._of} record {self._rows + 1}: the cursor's column {name} is NULL"
            + (", or an infinity" if timed else ""),
            hint=f"add WHERE {name} IS NOT NULL to the query, or take another column",
        )

    def _compared(self, pairs: list[tuple[pa.Array, pa.Array]], row: int) -> pa.Array:
        """Of each pair of neighbours, whether they differ; `row`: the number of the first one's next."""
        same: pa.Array | None = None
        ascending: pa.Array | None = None
        for one, two in reversed(pairs):
            equal, rises = _equal_and_rises(one, two)
            ascending = equal if ascending is None else pc.and_(equal, ascending)
            ascending = pc.or_(rises, ascending)
            same = equal if same is None else pc.and_(equal, same)
        wrong = pc.index(ascending, False).as_py() if ascending is not None and len(ascending) else -1
        if wrong >= 0:
            before, after = (
                {n: self._mark(n, pair[side][wrong]) for n, pair in zip(self._names, pairs, strict=True)}
                for side in (0, 1)
            )
            at = f"{self._of} record {row + wrong}"
            raise RecordError(
                f"{at}: {said(after)} comes after {said(before)}: rows would be passed over",
                hint=f"end the query with ORDER BY {', '.join(self._names)}",
            )
        return pc.invert(same)

    def is_end(self, row: int) -> bool:
        """Whether what was read up to this row may be called done."""
        with self._lock:
            part = self._part(row)
            return bool(part.ends[row - part.first].as_py())

    def next_end(self, row: int, last: int) -> int | None:
        """The first end from `row` to `last`; None where there is none."""
        with self._lock:
            for part in self._from(row):
                start = max(row - part.first, 0)
                at = pc.index(part.ends[start:], True).as_py()
                if at >= 0:
                    found = part.first + start + at
                    return found if found <= last else None
            return None

    def last_end(self, row: int) -> int | None:
        """The last end up to `row`; None where there is none that is not let go yet."""
        with self._lock:
            for part in reversed([part for part in self._parts if part.first <= row]):
                found = pc.indices_nonzero(part.ends[: row - part.first + 1])
                if len(found):
                    return int(part.first + found[-1].as_py())
            return None

    def at(self, row: int) -> Marks:
        """The values of a row."""
        with self._lock:
            part = self._part(row)
            pairs = zip(self._names, part.columns, strict=True)
            try:
                return {name: self._mark(name, column[row - part.first]) for name, column in pairs}
            except RecordError as error:
                raise RecordError(f"{self._of} record {row}: {error.message}", hint=error.hint) from None

    def _mark(self, name: str, value: pa.Scalar) -> Mark:
        if name in self._uuids:
            return Mark("uuid", str(UUID_OF(bytes=value.as_py())))
        return mark_of(value, name=name)

    def let_go(self, row: int) -> None:
        """Nobody asks about what is before this row any more."""
        with self._lock:
            self._parts = [part for part in self._parts if part.last >= row]

    def _part(self, row: int) -> _Part:
        at = bisect_right([part.first for part in self._parts], row) - 1
        return self._parts[at]

    def _from(self, row: int) -> Iterator[_Part]:
        return (part for part in self._parts if part.last >= row)


def _equal_and_rises(one: pa.Array, two: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Of each pair of neighbours, whether they are equal, and whether the second one is greater."""
    equal = pc.equal(one, two)
    if not any(is_of(one.type) for is_of in _ORDERED):
        return equal, pc.invert(equal)
    rises = pc.less(one, two)
    if pa.types.is_floating(
        one.type
    ):  # as PostgreSQL has it: NaN is equal to itself, and greater than all others
        nan, then = pc.is_nan(one), pc.is_nan(two)
        equal, rises = pc.or_(equal, pc.and_(nan, then)), pc.or_(rises, pc.and_(pc.invert(nan), then))
    return equal, rises


def _first_null(column: pa.Array) -> int:
    """Where it is; the length of the column where there is none."""
    return int(pc.index(column.is_null(), True).as_py()) if column.null_count else len(column)
