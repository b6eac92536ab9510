"""From Arrow batches of texts to drafts, and from drafts to chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING

from agent.bodies import Cutter, TooLarge, gzipped
from agent.config.model import Job, RecordBody
from agent.errors import RecordError
from agent.message import Draft
from agent.render import carried
from agent.render.contract import contract_check
from agent.render.groups import place
from agent.render.lanes import Dealt, Lanes, aligned
from agent.render.values import LINES_TOLD, BadRecord, Chunk
from agent.sources import faults, mark

if TYPE_CHECKING:
    import pyarrow as pa

    from agent.render.reading import Reading
    from agent.sources.positions import Positions

CHUNK_BATCHES = 50
CHUNK_RECORDS = 1000
"""Drafts in a chunk, `per: batch` and `per: record`."""
CHUNK_BYTES = 8_000_000
"""Bytes of bodies, before gzip, after which a chunk is given away."""


@dataclass(kw_only=True)
class Packer:
    """Makes drafts of Arrow batches, and chunks of drafts."""

    job: Job
    body: RecordBody
    reading: Reading
    start_row: int
    thorough: bool = False
    fit: int | None = None
    """See `Context`."""
    positions: Positions | None = None
    """Where rows stand, for sources with a cursor: a chunk then ends where it may (see `groups`)."""
    row: int = field(init=False)
    """The last row taken, from the start of the file."""
    done: int = field(init=False)
    """The last row that is in a chunk, as a draft or as a bad record."""
    drafts: list[Draft] = field(default_factory=list)
    bad: list[tuple[int, BadRecord]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    """Rows that are larger than any batch, or that the target's schema does not take."""
    aside: int = 0
    """Records that were put aside so far."""
    size: int = 0
    due: bool = False
    """Whether there is enough for a chunk."""
    given: int = 0
    """The last row of the last chunk."""

    def __post_init__(self) -> None:
        self.row = self.done = self.given = self.start_row
        query, batch, per_batch = self.reading.query, self.job.batch, self.body.per == "batch"
        cutter = partial(Cutter, records=batch.records, size=batch.bytes, frame=query.frame, fit=self.fit)
        order, path = self.job.delivery.order, self.reading.file.path
        self.lanes = Lanes(order, cutter, batches=per_batch, path=path)
        self.contract = contract_check(self.body, query.frame, thorough=self.thorough)

    def take(self, table: pa.RecordBatch) -> Iterator[Chunk]:
        """The drafts of an Arrow batch. Raises RecordError for a record too large for any batch."""
        for part in aligned(table, self.row, apart=self.lanes.apart):
            end = self.row + part.num_rows
            yield from self.take_some(part, range(self.row + 1, end + 1), end)

    def take_some(self, table: pa.RecordBatch, rows: Sequence[int], end: int) -> Iterator[Chunk]:
        """The same for the rows with these numbers: all that are to be sent up to row `end`."""
        texts = table.column("body")
        self.row = end
        if texts.null_count:
            good = texts.is_valid().to_pylist()
            self._refuse(table, [number for number, fine in enumerate(good) if not fine], rows)
            rows = [row for row, fine in zip(rows, good, strict=True) if fine]
            table = table.filter(texts.is_valid())
            texts = table.column("body")
        if self.contract is not None:
            table, rows = self.contract.sift(table, rows, self._refused)
            texts = table.column("body")
        if self.body.per == "record":
            yield from self._each(table, rows)
        else:
            yield from self._cut(self.lanes.feed(table, rows))
            if self.lanes.apart and self.lanes.edge(texts, self.row):
                yield from self._edge()
        if len(self.bad) >= CHUNK_RECORDS:
            if self.lanes.pending:
                yield self._bad_alone()
            else:
                yield from self._edge()

    def _edge(self) -> Iterator[Chunk]:
        """There is enough for a chunk, at a row where one may end or not."""
        self.due = True
        if self._may_end(self.row):
            yield from self.flush()

    def _refuse(self, table: pa.RecordBatch, which: list[int], rows: Sequence[int]) -> None:
        refused = table.select(["why", "shown"]).take(which).to_pylist()
        for number, found in zip(which, refused, strict=True):
            row = rows[number]
            reason = found["why"] or "the map cannot be computed for this record"
            if not self.reading.dead_letter:
                where = place(self.reading, self.positions, row)
                raise RecordError(
                    f"{where}: {reason}", hint=f"the record: {faults.short(found['shown'] or '')}"
                )
            self.put_aside(row, found["shown"] or "", reason)

    def _cut(self, cuts: Iterator[Dealt]) -> Iterator[Chunk]:
        before = self.reading.file.rows
        for lane, cut, as_of, keys in cuts:
            if isinstance(cut, TooLarge):
                self._too_large(cut)
                continue
            body = Draft(
                body=gzipped(cut.body),
                size=len(cut.body),
                records=cut.records,
                content_type=self.body.content_type,
                origin=f"{self.reading.file.name} rows {cut.first + before}-{cut.last + before}",
                first=cut.first,
                lane=lane,
                as_of=as_of,
                form=self.reading.query.frame.form,
                record_keys=keys,
            )
            if self.lanes.apart:  # nothing is done before every lane has given away what it has
                self.drafts.append(body)
            else:
                yield from self._put(body, cut.last, CHUNK_BATCHES)

    def _too_large(self, cut: TooLarge) -> None:
        where = place(self.reading, self.positions, cut.row)
        said = f"{cut.size} bytes: larger than batch.bytes ({self.job.batch.bytes})"
        if not self.reading.dead_letter:
            raise RecordError(
                f"{where}: {said}", hint="raise `batch.bytes`, or set `on_bad_row: dead_letter`"
            )
        self._refused(cut.row, cut.text, said)

    def _refused(self, row: int, text: str, reason: str) -> None:
        self.refused.append(row)
        self.put_aside(row, text, reason)

    def put_aside(self, row: int, text: str, reason: str) -> None:
        """A record that is not sent, and why."""
        self.aside += 1
        # a line costs reading the file again up to it: only the first ones are told theirs
        line = self.reading.relation.line_of(row) if self.aside <= LINES_TOLD else None
        self.bad.append((row, BadRecord(line=line, text=text, reason=reason)))

    def follow(self, reading: Reading, body: RecordBody, row: int) -> Packer:
        """The packer of what comes behind row `row`, of another query."""
        return Packer(
            job=self.job, body=body, reading=reading, start_row=row, thorough=self.thorough, fit=self.fit
        )

    def _each(self, table: pa.RecordBatch, rows: Sequence[int]) -> Iterator[Chunk]:
        names, frame = self.reading.query.headers, self.reading.query.frame
        texts = table.column("body").to_pylist()
        paths = table.column("path").to_pylist() if "path" in table.schema.names else [None] * len(texts)
        values = [table.column(f"h{number}").to_pylist() for number in range(len(names))]
        dealt, marks = self.lanes.each(table), carried.each(table)
        subjects = table.column("subject").to_pylist() if "subject" in table.schema.names else repeat("")
        for number, (row, text, path, (lane, as_of), keys, subject) in enumerate(
            zip(rows, texts, paths, dealt, marks, subjects, strict=False)
        ):
            plain = frame.around(text.encode())
            draft = Draft(
                body=gzipped(plain),
                size=len(plain),
                records=1,
                content_type=self.body.content_type,
                path=path,
                headers={name: value[number] for name, value in zip(names, values, strict=True)},
                origin=f"{self.reading.file.name} row {row + self.reading.file.rows}",
                first=row,
                lane=lane,
                as_of=as_of,
                record_keys=keys,
                subject=subject or None,
            )
            yield from self._put(draft, row, CHUNK_RECORDS)

    def _put(self, draft: Draft, last: int, most: int) -> Iterator[Chunk]:
        self.drafts.append(draft)
        self.size += draft.size
        self.done = last
        self.due = len(self.drafts) >= most or self.size >= CHUNK_BYTES
        if self.due and self._may_end(last):
            yield self._chunk()

    def _may_end(self, row: int) -> bool:
        """Whether a chunk may end behind this row: not between rows with equal values of the cursor."""
        return self.positions is None or self.positions.is_end(row)

    def settled(self) -> Iterator[Chunk]:
        """The drafts there are, if a chunk may end behind them."""
        if self.drafts and not self.lanes.apart and self._may_end(self.done):
            yield self._chunk()

    def flush(self) -> Iterator[Chunk]:
        """A chunk of everything that was taken, also what fills no batch."""
        yield from self._cut(self.lanes.rest())
        if self.drafts or self.bad or (self.positions is not None and self.row > self.given):
            self.done = self.row
            yield self._chunk()

    def _chunk(self) -> Chunk:
        """What is done. A bad record behind the last draft waits: going on from here meets it again."""
        bad = tuple(record for row, record in self.bad if row <= self.done)
        self.bad = [(row, record) for row, record in self.bad if row > self.done]
        cursor = None
        if self.positions is not None:
            cursor = mark.to_cursor(self.positions.at(self.done))
            self.positions.let_go(self.done)
        chunk = Chunk(drafts=tuple(self.drafts), rows=self.done, bad=bad, cursor=cursor)
        self.drafts, self.size, self.due, self.given = [], 0, False, self.done
        return chunk

    def _bad_alone(self) -> Chunk:
        """Bad records while a batch is not full yet: where the reading goes on stays, their memory goes.

        A reading that is interrupted before that batch is spooled meets them again.
        """
        bad = tuple(record for _, record in self.bad)
        self.bad = []
        return Chunk(drafts=(), rows=self.given, bad=bad)

    def reject(self, found: list[tuple[int, str, str]]) -> None:
        """Rows that DuckDB could not split: known only at the end, so they go into the last chunk."""
        self.bad += [(self.row, BadRecord(line=line, text=text, reason=why)) for line, text, why in found]

    def end(self) -> Iterator[Chunk]:
        """The last chunk, unless there is nothing in it."""
        yield from self.flush()
