"""Records with a key (`only: {changed_by: …}`): what the query carries along, and which file holds what.

A *mark* is what is kept of a record: the hash of its key and the hash of what is sent for it (body, path,
headers), 128 bits each, and the key itself where deletions are sent. Marks lie in Parquet files; which
of them say what was sent last is told by `agent.render.changed`.

    stream   body, path, h0, …, __key, __c0, …           of `Query`, with `carried`
    marked   … and __k1, __k2 (key), __h1, __h2 (sent)   two halves each: Parquet has no 128 bits
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.config.model import Only
from agent.mapping import identifier, literal
from agent.sources import duck
from agent.sources.query import Query
from agent.sources.relation import Column, Opened, Relation, Uses, require

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

HASHES = ("k1", "k2", "h1", "h2")
_LOW = "18446744073709551615::UHUGEINT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keyed:
    """The key of a job's records, over a relation."""

    carried: tuple[tuple[str, str], ...]
    """For `Wanted.carried`: the key's JSON text, and each of its columns as text."""
    names: tuple[str, ...]
    """The key's columns."""
    types: tuple[str, ...]
    """Their types, as DuckDB writes them."""

    @property
    def texts(self) -> tuple[str, ...]:
        """What the columns are called in a file of marks."""
        return tuple(f"c{number}" for number in range(len(self.names)))

    def marked(self, query: Query) -> str:
        """The stream of a query with the hashes."""
        stream = query.stream
        others = [f"h{number}" for number in range(len(query.headers))]
        sent = ", ".join(("body", *(["path"] if query.paths else []), *others))
        hashed = (
            f"SELECT *, md5_number(__key) AS __k, CASE WHEN body IS NOT NULL THEN "
            f"md5_number(concat_ws(chr(0), {sent})) END AS __h FROM ({stream})"
        )
        halves = ", ".join(
            f"{half} AS __{name}{number}"
            for name in "kh"
            for number, half in enumerate(
                (f"CAST(__{name} >> 64 AS UBIGINT)", f"CAST(__{name} & {_LOW} AS UBIGINT)"), start=1
            )
        )
        return f"SELECT * EXCLUDE (__key, __k, __h), {halves} FROM ({hashed})"


def wanting(uses: Uses, only: Only) -> Uses:
    """The key's columns are used too."""
    return replace(uses, compound=uses.compound | {name.lower() for name in only.changed_by})


def keyed(con: DuckDBPyConnection, found: Opened, relation: Relation, only: Only) -> tuple[Relation, Keyed]:
    """The relation with a check that no part of a key is missing, and the key.

    Raises SourceError when the file lacks a column of it.
    """
    there = {column.name: column.sql for column in relation.columns}
    exact = {column.name: column.text for column in relation.columns if column.text}
    if relation.names:  # a file without a record may have no names
        require(found, only.changed_by, tuple(there))
    parts = [there.get(name, "CAST(NULL AS VARCHAR)") for name in only.changed_by]
    kinds = _types(con, relation, parts)
    texts = [
        exact.get(name, f"CAST({part} AS VARCHAR)") for name, part in zip(only.changed_by, parts, strict=True)
    ]
    none = " OR ".join(f"{part} IS NULL" for part in parts)
    key = f"CASE WHEN NOT ({none}) THEN CAST(to_json([{', '.join(texts)}]) AS VARCHAR) END"
    checks = [
        f"CASE WHEN {part} IS NULL THEN {literal(f'column {name}: the key is empty (only.changed_by)')} END"
        for name, part in zip(only.changed_by, parts, strict=True)
    ]
    carried = [("__key", key)]
    if only.deleted == "send":
        carried += [(f"__c{number}", text) for number, text in enumerate(texts)]
    return (
        replace(relation, checks=(*relation.checks, *checks)),
        Keyed(carried=tuple(carried), names=only.changed_by, types=kinds),
    )


def _types(con: DuckDBPyConnection, relation: Relation, parts: list[str]) -> tuple[str, ...]:
    chosen = ", ".join(f"{part} AS v{number}" for number, part in enumerate(parts))
    described = duck.query(con, f"SELECT {chosen} FROM ({relation.base})")
    return tuple(str(found) for found in described.types)


def gone(key: Keyed, base: str) -> Relation:
    """The keys that are gone as records: `base` gives their texts (`c0`, `c1`, …) in order."""
    columns = tuple(
        Column(name=name, sql=f"TRY_CAST({text} AS {type_})")
        for name, text, type_ in zip(key.names, key.texts, key.types, strict=True)
    )
    shown = ", ".join(
        f"{identifier(name)} := {text}" for name, text in zip(key.names, key.texts, strict=True)
    )
    return Relation(
        base=base,
        columns=columns,
        names=key.names,
        entries=tuple((column.name, column.sql) for column in columns),
        shown=f"CAST(to_json(struct_pack({shown})) AS VARCHAR)",
        line_of=lambda _row: None,
    )
