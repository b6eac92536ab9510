"""`only: {changed_by: …}`: of all records of a reading, those whose key is new or that are not as sent last.

    stream ─▶ stage ─▶ join with what was sent ─▶ the picked rows, in their order ─▶ packer
              (bodies, marks)                  └─▶ the keys that are gone ─────────▶ packer, behind them
                                               └─▶ the new marks, for the commit that releases the reading

The feed is read once, whole, before anything is picked: a key that is there twice is then found before
anything is sent, and a reading that goes on after a kill picks the same rows, since what was sent before is
the same.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import pyarrow as pa
from pyarrow import compute, ipc

from agent.config.model import Job, Only, RecordSource, files_of, lists_all, only_of
from agent.errors import RecordError, SourceError
from agent.render.lanes import aligned
from agent.render.reading import Reading, gone_body, gone_query
from agent.render.values import Chunk, Context
from agent.sources import duck, faults, key_marks
from agent.sources.interrupt import interrupted_when
from agent.sources.keyed import HASHES, Keyed, gone
from agent.sources.mark import to_cursor
from agent.sources.query import Query
from agent.sources.relation import Opened
from agent.sources.seen import Marks, Seen

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from agent.message import Cursor
    from agent.render.feed import Feed
    from agent.render.pack import Packer
    from agent.sources.positions import Positions

ROWS = 4096


@dataclass(kw_only=True)
class Changed:
    """One reading: `through`, then `rest`."""

    job: Job
    only: Only
    keyed: Keyed
    seen: Seen
    ctx: Context
    reading: Reading
    stack: ExitStack
    start_row: int
    feed: Feed
    _join: key_marks.Join = field(init=False)
    _picked: pa.Array | None = field(init=False)
    _doubles: dict[int, int] = field(init=False, default_factory=dict)
    _part: Marks | None = field(init=False, default=None)

    def through(self, tables: Iterable[pa.RecordBatch], pack: Packer) -> Iterator[Chunk]:
        """The chunks of the records that are picked. Raises RecordError for a key that is there twice."""
        folder = Path(self.stack.enter_context(TemporaryDirectory(dir=self.ctx.temp, prefix="stage-")))
        total = _stage(tables, folder, self._texts, self.feed.positions)
        if self.feed.once:  # one that broke off looks like a whole one, and keys that it lacks as if gone
            self.feed.recheck()
        if self.feed.positions is not None:  # a group that a LIMIT cut is left for the next run
            total = self.feed.positions.last_end(total) or 0
        con = self._connect(folder)
        self._join = key_marks.Join.over(
            con, folder / "marks", total, self.seen.layers, self._texts, once=lists_all(self.job.source)
        )
        self._look_for_doubles()
        picked = self._join.picked()
        self._picked = None if picked is None else picked.column("n").combine_chunks()
        if self.reading.dead_letter and self.seen.parts:
            # it leaves while it is read: what is sent counts, whatever follows
            self._part = self._kept(self._join.part(), whole=False, keys=bool(self._texts))
        for table, rows, end in self._rows(folder, total, apart=pack.lanes.apart):
            good = self._without_doubles(table, rows, pack)
            yield from self._marked(pack.take_some(*good, end))
        pack.row = max(pack.row, total)

    def rest(self, pack: Packer, *, blind: bool) -> Iterator[Chunk]:
        """The last chunks: keys that are gone, and what is known of all keys once this is sent.

        `blind`: there are rows of which not even the key is known, so that no key can be said to be gone.
        """
        yield from self._marked(pack.end())
        join, count = self._join, 0
        forget = self.only.deleted == "send" and not blind and not join.keyless()
        if forget and join.known and join.told:
            base, count = join.gone()
            if count and not join.total:
                each = "file" if files_of(self.job.source) is not None else "reading"
                raise SourceError(
                    f"{self.reading.file.name} holds no record: that would delete all {count} keys",
                    hint=f"is it complete? with `deleted: send` each {each} is the whole list",
                    lasting=True,
                )
            yield from self._marked(self._gone(base, pack))
        same = self._picked is not None and not len(self._picked) and not count
        alone = len(self.seen.layers) == 1 and self.seen.layers[0].rows is None
        cursor = self._cursor()
        if same and alone and (join.told or not forget):
            if not self.seen.parts:  # how far it goes is to be known, also where nothing of it is sent
                yield Chunk(drafts=(), rows=join.total, cursor=cursor)
            return
        keys = bool(self._texts) and (join.told or forget)
        known = self._kept(join.whole(pack.refused, forget=forget), whole=True, keys=keys)
        if known is not None or not self.seen.parts:
            yield Chunk(drafts=(), rows=join.total + count, marks=known, cursor=cursor)

    def _cursor(self) -> Cursor | None:
        """Where the source stands behind all of it."""
        positions, total = self.feed.positions, self._join.total
        return to_cursor(positions.at(total)) if positions is not None and total else None

    @property
    def _texts(self) -> tuple[str, ...]:
        return self.keyed.texts if self.only.deleted == "send" else ()

    def _connect(self, folder: Path) -> DuckDBPyConnection:
        spill = folder / "spill"
        spill.mkdir()
        con = duck.connect(
            file=[str(folder / "marks"), *(str(layer.path) for layer in self.seen.layers)],
            temp=spill,
            memory=self.ctx.memory,
            threads=self.ctx.threads,
            timezone=self.job.timezone,
            careful=True,
        )
        self.stack.enter_context(closing(con))
        self.stack.enter_context(interrupted_when(self.ctx.cancelled, con.interrupt))
        return con

    def _kept(self, batches: Iterable[pa.RecordBatch], *, whole: bool, keys: bool) -> Marks | None:
        if self.seen.keep is None:
            return None
        name = f"{secrets.token_hex(8)}.parquet"
        key_marks.write(self.seen.keep / name, key_marks.schema(self._texts, numbered=True), batches)
        return Marks(name=name, keys=keys, whole=whole)

    def _marked(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        return (replace(chunk, marks=self._part) for chunk in chunks)

    def _look_for_doubles(self) -> None:
        found = self._join.doubles()
        if found.num_rows and not self.reading.dead_letter:
            row, first = (int(found.column(name)[0].as_py()) for name in ("n", "first"))
            where = faults.place(self.reading.file, self.reading.relation, row)
            raise RecordError(
                f"{where}: {_same_key(self.only, first)}",
                hint="with `changed_by` a key may be there once in a file",
            )
        numbers, firsts = (found.column(name).to_pylist() for name in ("n", "first"))
        self._doubles = dict(zip(numbers, firsts, strict=True))

    def _rows(
        self, folder: Path, total: int, *, apart: bool
    ) -> Iterator[tuple[pa.RecordBatch, Sequence[int], int]]:
        """The picked rows behind `start_row`, with their numbers, and up to which row they are all."""
        picked = None if self._picked is None else _numbers(self._picked)
        at = 0
        for batch in (part for one in _staged(folder, total) for part in aligned(one, at, apart=apart)):
            first, at = at, at + batch.num_rows
            if picked is None:
                skip = min(max(self.start_row - first, 0), batch.num_rows)
                if skip < batch.num_rows:
                    yield batch.slice(skip), range(first + skip + 1, at + 1), at
                continue
            begin = bisect_right(picked, max(first, self.start_row))
            end = bisect_right(picked, at)
            if begin < end:
                assert self._picked is not None
                which = compute.subtract(self._picked.slice(begin, end - begin), first + 1)
                yield batch.take(which), picked[begin:end], at

    def _without_doubles(
        self, table: pa.RecordBatch, rows: Sequence[int], pack: Packer
    ) -> tuple[pa.RecordBatch, Sequence[int]]:
        if not self._doubles or not any(row in self._doubles for row in rows):
            return table, rows
        query, good = self.reading.query, list[int]()
        separator = "" if pack.body.per == "record" else query.frame.separator.decode()
        for number, row in enumerate(rows):
            if row in self._doubles:
                text = str(table.column("body")[number].as_py()).removesuffix(separator)
                pack.put_aside(row, text, _same_key(self.only, self._doubles[row]))
            else:
                good.append(number)
        return table.take(good), [rows[number] for number in good]

    def _gone(self, base: str, pack: Packer) -> Iterator[Chunk]:
        join, dead_letter = self._join, self.reading.dead_letter
        row = max(self.start_row, join.total)
        found = Opened(path=f"{self.reading.file.path} (deleted)", reading="", gzipped=False)
        relation = gone(self.keyed, base)
        query = gone_query(
            join.con, self.job, self.only, relation, dead_letter=dead_letter, start_row=row - join.total
        )
        if not isinstance(query, Query):
            raise SourceError("\n".join(str(problem) for problem in query), lasting=True)
        reading = replace(
            self.reading, con=join.con, file=found, relation=relation, query=query, careful=lambda: join.con
        )
        follow = pack.follow(reading, gone_body(self.job, self.only), row)
        for table in duck.query(join.con, query.stream).to_arrow_reader(ROWS):
            if self.ctx.cancelled():
                raise SourceError(f"{self.reading.file.name}: reading was cancelled")
            yield from follow.take(table)
        yield from follow.end()


def changed_of(  # noqa: PLR0917 - what a reading is made of
    job: Job,
    source: RecordSource,
    seen: Seen,
    ctx: Context,
    reading: Reading,
    stack: ExitStack,
    start_row: int,
    feed: Feed,
) -> Changed | None:
    """None where all records are sent."""
    only = only_of(source)
    if only is None or reading.keyed is None:
        return None
    return Changed(
        job=job,
        only=only,
        keyed=reading.keyed,
        seen=seen,
        ctx=ctx,
        reading=reading,
        stack=stack,
        start_row=start_row,
        feed=feed,
    )


def _same_key(only: Only, first: int) -> str:
    return f"the same {', '.join(only.changed_by)} as record {first} (only.changed_by)"


def _stage(
    tables: Iterable[pa.RecordBatch], folder: Path, texts: tuple[str, ...], positions: Positions | None
) -> int:
    """The stream on disk: bodies and what belongs to them, and beside them the marks. How many rows."""
    total = 0
    names = tuple(f"__{name}" for name in (*HASHES, *texts))
    columns = key_marks.schema(texts, numbered=False)

    def marked() -> Iterator[pa.RecordBatch]:
        nonlocal total
        writer: ipc.RecordBatchStreamWriter | None = None
        with pa.OSFile(str(folder / "bodies"), "wb") as file:
            for table in tables:
                bodies = table.drop_columns(names)
                if writer is None:
                    options = ipc.IpcWriteOptions(compression="lz4")
                    writer = ipc.new_stream(file, bodies.schema, options=options)
                writer.write_batch(bodies)
                total += table.num_rows
                if positions is not None and (end := positions.last_end(total)) is not None:
                    positions.let_go(end)
                yield pa.RecordBatch.from_arrays([table.column(name) for name in names], schema=columns)
            if writer is not None:
                writer.close()

    key_marks.write(folder / "marks", columns, marked())
    return total


def _staged(folder: Path, total: int) -> Iterator[pa.RecordBatch]:
    file, left = folder / "bodies", total
    if file.stat().st_size:
        with pa.OSFile(str(file), "rb") as plain, ipc.open_stream(plain) as batches:
            for batch in batches:
                yield batch.slice(0, left)
                left = max(left - batch.num_rows, 0)


def _numbers(column: pa.Array) -> Sequence[int]:
    """The numbers of a column without nulls, as they lie."""
    if not len(column):
        return ()
    return cast("Sequence[int]", memoryview(column.buffers()[1]).cast("q")[column.offset :][: len(column)])
