"""The marks of the records' keys (`receipt.keys`) on their way beside the texts. No Python per record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

from agent.receipt_keys import WIDTH, packed

if TYPE_CHECKING:
    import pyarrow as pa

Columns: TypeAlias = "tuple[pa.Array, ...]"
"""For each expression the marks of its records: unsigned numbers of 64 bits, none of them NULL."""


def key_columns(table: pa.RecordBatch) -> Columns:
    """`k0`, `k1`, … of a batch; none where the job asks for no keys."""
    found: list[pa.Array] = []
    while (name := f"k{len(found)}") in table.schema.names:
        found.append(table.column(name))
    return tuple(found)


def each(table: pa.RecordBatch) -> Iterator[bytes]:
    """The blob of every record, where each is sent alone; without end where there are no keys."""
    columns = [_bytes(column) for column in key_columns(table)]
    if not columns:
        return repeat(b"")
    starts = range(0, table.num_rows * WIDTH, WIDTH)
    return (packed([column[at : at + WIDTH] for column in columns]) for at in starts)


class Waiting:
    """The marks of the records that lie in a cutter, in their order."""

    def __init__(self) -> None:
        self._parts: deque[Columns] = deque()

    def add(self, columns: Columns) -> None:
        """Those of one more part of the records."""
        if columns:
            self._parts.append(columns)

    def leave(self, records: int) -> bytes:
        """The blob of the first so many records, which leave."""
        taken: list[list[bytes | memoryview]] = []
        while records and self._parts:
            head = self._parts.popleft()
            length = len(head[0])
            taken.append([_bytes(column.slice(0, records)) for column in head])
            if length > records:
                self._parts.appendleft(tuple(column.slice(records) for column in head))
            records -= min(records, length)
        return packed([b"".join(parts) for parts in zip(*taken, strict=True)])


def _bytes(column: pa.Array) -> memoryview:
    """A column of numbers as it lies."""
    buffer = column.buffers()[1]
    if buffer is None:
        return memoryview(b"")
    return memoryview(buffer)[column.offset * WIDTH : (column.offset + len(column)) * WIDTH]
