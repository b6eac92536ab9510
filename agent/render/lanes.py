"""Records dealt out to lanes: for each lane a cutter of its own. No Python per record.

    Arrow batch   A B A C B A        lane   body
    by its lanes  A A A │ B B │ C      0    [A,A,A…    each lane fills batches of its own
                                       1    [B,B…
                                       2    [C…

Arrow sorts an Arrow batch by lane, and keeps the order within each; Python sees one slice per lane.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import TYPE_CHECKING, NamedTuple, overload
from zlib import crc32

import pyarrow.compute as pc

from agent.bodies import Cut, Cutter, TooLarge
from agent.config.model import SPREAD, ByKey, Order, Unordered
from agent.render.carried import Columns, Waiting, key_columns
from agent.sources.dealing import NO_TIME

if TYPE_CHECKING:
    import pyarrow as pa

EDGE_ROWS = 4096
"""Chunks of several lanes end at a multiple of so many rows: so a file gives the same batches, and with
them the same keys, wherever a reading of it begins again and however Arrow's batches fall."""
EDGE_BYTES = 32_000_000
"""Bytes of texts in a chunk of several lanes. At its end every lane gives away what it has, a batch that is
not full; so there should be many full ones before."""
MICROS = 1_000_000


class Dealt(NamedTuple):
    """A batch of one lane."""

    lane: int
    cut: Cut | TooLarge
    as_of: float | None
    """The time of its youngest record, seconds since 1970; None: some record has none."""
    keys: bytes = b""
    """Of its records (see `agent.receipt_keys`)."""


class _Part(NamedTuple):
    """What of an Arrow batch belongs to one lane."""

    lane: int
    texts: pa.Array
    times: pa.Array | None
    keys: Columns
    rows: Sequence[int]


class Lanes:
    """What the records of one reading are dealt out to. `make` gives a cutter; `path` is what is read."""

    def __init__(self, order: Order, make: Callable[[], Cutter], *, batches: bool, path: str) -> None:
        self.apart = batches and isinstance(order, ByKey)
        """Batches are filled lane by lane: rows wait for theirs while later ones are in one already."""
        # readings of one batch each must not all come into the first lane
        begin = crc32(path.encode(errors="surrogateescape"))
        self._turns = count(begin) if isinstance(order, Unordered) else None
        self._taken = 0
        self._cutters: dict[int, _Cutting] = defaultdict(lambda: _Cutting(cutter=make()))

    def feed(self, table: pa.RecordBatch, rows: Sequence[int]) -> Iterator[Dealt]:
        """Take an Arrow batch whose texts are not null; `rows` are their numbers."""
        times = table.column("as_of") if "as_of" in table.schema.names else None
        for part in self._parts(table, times, rows):
            cutting = self._cutters[part.lane]
            if part.times is not None:
                cutting.ages.add(part.times)
            cutting.keys.add(part.keys)
            yield from self._dealt(part.lane, cutting, cutting.cutter.feed(part.texts, part.rows))

    def each(self, table: pa.RecordBatch) -> Iterator[tuple[int, float | None]]:
        """Lane and time of every record, where each is sent alone."""
        names = table.schema.names
        times = map(seconds, table.column("as_of").to_pylist()) if "as_of" in names else repeat(None)
        lanes: Iterable[int] = repeat(0)
        if "lane" in names:
            lanes = table.column("lane").to_pylist()
        elif self._turns is not None:
            lanes = (turn % SPREAD for turn in self._turns)
        return zip(lanes, times, strict=False)

    @property
    def pending(self) -> bool:
        """Whether some record waits for its batch to be full."""
        return any(cutting.cutter.pending for cutting in self._cutters.values())

    def edge(self, texts: pa.Array, row: int) -> bool:
        """Whether, with these texts and at this row, a chunk has enough in it."""
        self._taken += pc.sum(pc.binary_length(texts)).as_py() or 0
        if row % EDGE_ROWS or self._taken < EDGE_BYTES:
            return False
        self._taken = 0
        return True

    def rest(self) -> Iterator[Dealt]:
        """What is left in every lane: batches that may be small."""
        for lane, cutting in sorted(self._cutters.items()):
            yield from self._dealt(lane, cutting, cutting.cutter.rest())

    def _parts(self, table: pa.RecordBatch, times: pa.Array | None, rows: Sequence[int]) -> Iterator[_Part]:
        texts, keys = table.column("body"), key_columns(table)
        if not self.apart:
            yield _Part(0, texts, times, keys, rows)
            return
        lanes = table.column("lane")
        order = pc.array_sort_indices(lanes)  # stable: the order within a lane is that of the rows
        texts, times = texts.take(order), None if times is None else times.take(order)
        keys = tuple(key.take(order) for key in keys)
        runs = pc.run_end_encode(lanes.take(order))
        start = 0
        for end, lane in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
            length = end - start
            of = None if times is None else times.slice(start, length)
            marks = tuple(key.slice(start, length) for key in keys)
            yield _Part(lane, texts.slice(start, length), of, marks, _Picked(rows, order, start, length))
            start = end

    def _dealt(self, lane: int, cutting: _Cutting, cuts: Iterator[Cut | TooLarge]) -> Iterator[Dealt]:
        for cut in cuts:
            number = lane if self._turns is None else next(self._turns) % SPREAD
            records = cut.records if isinstance(cut, Cut) else 1
            yield Dealt(number, cut, cutting.ages.youngest(records), cutting.keys.leave(records))


class _Ages:
    """The times of the records that lie in a cutter, in their order."""

    def __init__(self) -> None:
        self._waiting: deque[pa.Array] = deque()

    def add(self, column: pa.Array) -> None:
        self._waiting.append(column)

    def youngest(self, records: int) -> float | None:
        """Of the first so many, which leave."""
        found: list[int] = []
        while records and self._waiting:
            head = self._waiting.popleft()
            found.append(pc.max(head.slice(0, records)).as_py())
            if len(head) > records:
                self._waiting.appendleft(head.slice(records))
            records -= min(records, len(head))
        return seconds(max(found, default=NO_TIME))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cutting:
    cutter: Cutter
    ages: _Ages = field(default_factory=_Ages)
    keys: Waiting = field(default_factory=Waiting)


def seconds(micros: int) -> float | None:
    """A record's time as a draft has it."""
    return None if micros == NO_TIME else micros / MICROS


class _Picked(Sequence[int]):
    """Some of the row numbers, looked up only where they are asked for: at the ends of a batch."""

    def __init__(self, rows: Sequence[int], order: pa.Array, start: int, length: int) -> None:
        self._rows = rows
        self._order = order
        self._start = start
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._length))]
        at = index + self._length if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError(index)
        return self._rows[int(self._order[self._start + at].as_py())]


def aligned(table: pa.RecordBatch, row: int, *, apart: bool) -> Iterator[pa.RecordBatch]:
    """An Arrow batch behind the row `row`; with `apart` in slices that end at multiples of `EDGE_ROWS`."""
    start = 0 if apart else table.num_rows
    if not apart:
        yield table
    while start < table.num_rows:
        length = min(EDGE_ROWS - (row + start) % EDGE_ROWS, table.num_rows - start)
        yield table.slice(start, length)
        start += length
