"""Rows with equal values of the cursor stay together: a chunk ends behind all of them or before all.

Otherwise a process that dies between two chunks would go on behind the value, and the rest of the group
would never be read. A group whose end has not passed by yet waits here; so do, for good, the rows of the
last group of a result that was cut by its LIMIT.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from agent.errors import RecordError
from agent.render.values import Chunk
from agent.sources import faults
from agent.sources.mark import said

if TYPE_CHECKING:
    from agent.render.pack import Packer
    from agent.render.reading import Reading
    from agent.sources.positions import Positions

LARGEST = 1_000_000
"""Rows of one group: they are held in memory until its end."""


class Groups:
    """Stands before a packer and gives it whole groups."""

    def __init__(self, pack: Packer, positions: Positions) -> None:
        self._pack = pack
        self._positions = positions
        self._waiting: pa.RecordBatch | None = None

    def take(self, table: pa.RecordBatch) -> Iterator[Chunk]:
        """The chunks of an Arrow batch. Raises RecordError for a bad record, when all before it is given."""
        if self._waiting is not None and self._waiting.num_rows:
            table = pa.concat_batches([self._waiting, table])
        row = self._pack.row
        bad = None if self._pack.reading.dead_letter else _first_bad(table)
        end = self._positions.last_end(row + (table.num_rows if bad is None else bad)) or row
        whole = max(end - row, 0)
        self._waiting = table.slice(whole)
        if whole:
            try:
                yield from self._pack.take(table.slice(0, whole))
            except RecordError:  # too large for any batch
                yield from self.so_far()
                raise
            if self._pack.due:
                yield from self._pack.flush()
        if bad is not None:
            yield from self._pack.flush()
            self._pack.row = row + bad
            list(self._pack.take(table.slice(bad, 1)))  # raises
        if self._waiting.num_rows > LARGEST:
            raise RecordError(
                f"more than {LARGEST:,} records have the same values of the cursor, behind record {end}",
                hint="add a column to `cursor` that tells them apart",
            )

    def so_far(self) -> Iterator[Chunk]:
        """What is complete when the reading breaks off: the next run has that much less to do."""
        yield from self._pack.settled()

    def end(self) -> Iterator[Chunk]:
        """The last chunk."""
        waiting = self._waiting
        if waiting is not None and waiting.num_rows:
            row = self._pack.row
            end = self._positions.last_end(row + waiting.num_rows) or row
            if end > row:
                yield from self._pack.take(waiting.slice(0, end - row))
        yield from self._pack.flush()


def place(reading: Reading, positions: Positions | None, row: int) -> str:
    """A record, for people: `devices.csv record 3 (line 4)`, `fleet-db record 3 (id=17)`."""
    where = faults.place(reading.file, reading.relation, row)
    return f"{where} ({said(positions.at(row))})" if positions is not None else where


def _first_bad(table: pa.RecordBatch) -> int | None:
    texts = table.column("body")
    if not texts.null_count:
        return None
    return int(pc.index(texts.is_null(), True).as_py())
