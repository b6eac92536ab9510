"""What was sent last for each key, in Parquet files, and what a new reading changes of it.

    layers    one whole file, and perhaps parts of readings that were given up after they had sent something:
              ┌ whole: all keys ┐ ← ┌ part: rows 1 … n of another reading ┐   a later layer goes first
    stage     the marks of the reading under way, row by row; the marks of bad rows have no `h1`
    picked    stage ⟕ layers: the rows whose key is new or whose hash is another one
    whole'    stage, and what the layers have of other keys

All of it is joined by DuckDB, which spills to disk what does not fit into its memory, in a connection of its
own that can reach nothing but these files.
"""

# ruff: noqa: S608 - paths are quoted by `mapping`, all else is ours
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from agent.mapping import literal
from agent.sources import duck
from agent.sources.keyed import HASHES
from agent.sources.seen import Layer

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

GROUP = 122_880
"""Rows of a row group: as many as DuckDB likes to read at once."""


def schema(texts: tuple[str, ...], *, numbered: bool) -> pa.Schema:
    """The columns of a file of marks: with the rows of a reading, or row by row."""
    number = [("n", pa.int64())] if numbered else []
    return pa.schema([*number, *((name, pa.uint64()) for name in HASHES), *((t, pa.string()) for t in texts)])


def write(path: Path, columns: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """A file of marks, in row groups that DuckDB likes; durable when this returns."""
    waiting: list[pa.RecordBatch] = []
    # hashes cannot be made smaller, and what a key's columns could be costs more than it saves
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, columns, **options) as writer:
        for batch in batches:
            waiting.append(batch)
            if sum(one.num_rows for one in waiting) >= GROUP:
                writer.write_table(pa.Table.from_batches(waiting, columns))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, columns))
    _durable(path)
    _durable(path.parent)


def _durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(kw_only=True)
class Join:
    """The marks of one reading against those of before. Made by `Join.over`."""

    con: DuckDBPyConnection
    texts: tuple[str, ...]
    """The columns of the key in the files of marks, where they are there."""
    known: bool
    """Whether there are marks of before."""
    told: bool
    """Whether all of those have the keys themselves."""
    total: int
    """Rows of the reading."""
    once: bool = True
    """Whether a key may be there once. Else each row is told against the one before it of the same key."""
    _names: str = field(init=False)

    def __post_init__(self) -> None:
        self._names = ", ".join((*HASHES, *self.texts))

    @classmethod
    def over(
        cls,
        con: DuckDBPyConnection,
        stage: Path,
        total: int,
        layers: Sequence[Layer],
        texts: tuple[str, ...],
        *,
        once: bool = True,
    ) -> Join:
        """The first `total` rows of the stage as it is written now, over the layers, the oldest first."""
        names = ", ".join((*HASHES, *texts))
        con.execute(
            f"CREATE TEMP VIEW stage AS SELECT file_row_number + 1 AS n, {names} "
            f"FROM read_parquet({literal(str(stage))}, file_row_number=true) WHERE file_row_number < {total}"
        )
        told = all(layer.keys for layer in layers)
        con.execute(f"CREATE TEMP VIEW earlier AS {_folded(layers, texts if told else ())}")
        con.execute(
            "CREATE TEMP TABLE doubled AS SELECT k1, k2, min(n) AS first FROM stage "
            f"WHERE h1 IS NOT NULL{'' if once else ' AND false'} GROUP BY k1, k2 HAVING count(*) > 1"
        )
        con.execute(
            "CREATE TEMP VIEW fresh AS SELECT s.* FROM stage s LEFT JOIN doubled d USING (k1, k2) "
            "WHERE s.h1 IS NOT NULL AND (d.first IS NULL OR d.first = s.n)"
        )
        return cls(con=con, texts=texts, known=bool(layers), told=told, total=total, once=once)

    def doubles(self) -> pa.Table:
        """Rows whose key an earlier row has: `n` and that row's `first`, in order."""
        return self._table(
            "SELECT s.n, d.first FROM doubled d JOIN stage s USING (k1, k2) "
            "WHERE s.h1 IS NOT NULL AND s.n > d.first ORDER BY s.n"
        )

    def picked(self) -> pa.Table | None:
        """Column `n`, in order: rows to go on with, bad ones too; None: all of them."""
        if not self.once:
            return self._picked_in_a_row()
        if not self.known:
            return None
        return self._table(
            "SELECT s.n FROM stage s LEFT JOIN earlier e USING (k1, k2) LEFT JOIN doubled d USING (k1, k2) "
            "WHERE s.h1 IS NULL OR s.n > d.first OR e.h1 IS DISTINCT FROM s.h1 OR e.h2 IS DISTINCT FROM s.h2 "
            "ORDER BY s.n"
        )

    def _picked_in_a_row(self) -> pa.Table:
        return self._table(
            "SELECT s.n FROM (SELECT n, k1, k2, h1, h2, lag(n) OVER w AS before, lag(h1) OVER w AS b1, "
            "lag(h2) OVER w AS b2 FROM stage WHERE h1 IS NOT NULL "
            "WINDOW w AS (PARTITION BY k1, k2 ORDER BY n)) s LEFT JOIN earlier e USING (k1, k2) "
            "WHERE CASE WHEN s.before IS NULL THEN e.h1 IS DISTINCT FROM s.h1 OR e.h2 IS DISTINCT FROM s.h2 "
            "ELSE s.b1 <> s.h1 OR s.b2 <> s.h2 END "
            "UNION ALL SELECT n FROM stage WHERE h1 IS NULL ORDER BY n"
        )

    def keyless(self) -> bool:
        """Whether a bad row has no key: then no key can be said to be gone."""
        return bool(duck.rows(self.con, "SELECT 1 FROM stage WHERE k1 IS NULL LIMIT 1"))

    def gone(self) -> tuple[str, int]:
        """The keys that no row has: a SELECT of their texts, always in the same order, and how many."""
        texts = ", ".join(f"e.{text}" for text in self.texts)
        self.con.execute(
            f"CREATE TEMP TABLE gone AS SELECT {texts} FROM earlier e ANTI JOIN stage s USING (k1, k2) "
            "ORDER BY e.n, e.k1, e.k2"
        )
        count = duck.rows(self.con, "SELECT count(*) FROM gone")[0][0]
        return f"SELECT {', '.join(self.texts)} FROM gone", int(str(count))

    def part(self) -> Iterator[pa.RecordBatch]:
        """The marks of the reading alone, with `n`: a layer once some of its rows are sent."""
        return self._batches(f"SELECT n, {self._names} FROM fresh")

    def whole(self, refused: Iterable[int], *, forget: bool) -> Iterator[pa.RecordBatch]:
        """All that is known once the reading is sent.

        `refused` rows were not sent; `forget`: the keys that no row has are not known any more.
        """
        rows = pa.table({"n": pa.array(sorted(refused), pa.int64())})
        self.con.register("refused_rows", rows)
        self.con.execute("CREATE TEMP TABLE refused AS SELECT n FROM refused_rows")
        self.con.unregister("refused_rows")
        sent = "SELECT f.* FROM fresh f ANTI JOIN refused r ON r.n = f.n"
        if not self.once:  # the last one of each key; one that is like a refused one was not sent either
            sent = (
                "SELECT s.* FROM stage s SEMI JOIN (SELECT max(g.n) AS n FROM stage g ANTI JOIN "
                "(SELECT s.* FROM stage s SEMI JOIN refused USING (n)) r USING (k1, k2, h1, h2) "
                "WHERE g.h1 IS NOT NULL GROUP BY g.k1, g.k2) m USING (n)"
            )
        self.con.execute(f"CREATE TEMP VIEW sent AS {sent}")
        # a row that is bad now was good once: what was sent for its key then is still so
        kept = "SELECT e.* FROM earlier e ANTI JOIN sent f USING (k1, k2)"
        if forget:
            kept += " SEMI JOIN stage s USING (k1, k2)" if self.told else " WHERE false"
        texts = self.texts if self.told else tuple(f"CAST(NULL AS VARCHAR) AS {text}" for text in self.texts)
        order = " ORDER BY n, k1, k2" if self.texts else ""
        return self._batches(
            f"SELECT n, {self._names} FROM sent UNION ALL "
            f"SELECT {', '.join(('n', *HASHES, *texts))} FROM ({kept}){order}"
        )

    def _table(self, sql: str) -> pa.Table:
        return duck.query(self.con, sql).to_arrow_table()

    def _batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        yield from duck.query(self.con, sql).to_arrow_reader(GROUP)


def _folded(layers: Sequence[Layer], texts: tuple[str, ...]) -> str:
    """One mark per key out of all layers: the last layer that has the key."""
    names = ", ".join(("n", *HASHES, *texts))
    if not layers:
        kinds = {"n": "BIGINT", **dict.fromkeys(HASHES, "UBIGINT"), **dict.fromkeys(texts, "VARCHAR")}
        none = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in kinds.items())
        return f"SELECT {none} WHERE false"
    folded = ""
    for layer in layers:
        cut = "" if layer.rows is None else f" WHERE n <= {layer.rows}"
        one = f"SELECT {names} FROM read_parquet({literal(str(layer.path))}){cut}"
        below = (
            f" UNION ALL SELECT o.* FROM ({folded}) o ANTI JOIN ({one}) l USING (k1, k2)" if folded else ""
        )
        folded = one + below
    return folded
