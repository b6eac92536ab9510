"""Which keys the records of a JSON source have, and of which JSON types their values are, in all of the file.

first records ─▶ keys that all of them may have ─▶ one pass: no others? and the types of those that count
                                                     └─ others: a pass for the keys, one for the types
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.mapping import literal
from agent.sources import duck

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FIRST = 1000
"""Records that are looked at for what the others may be like."""
MOST_LISTS = 100
"""Different lists of keys among them beyond which the others are not looked at."""
MOST_KEYS = 300
"""Keys beyond which nothing is guessed: records that each have keys of their own."""

Kinds = dict[str, frozenset[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Of all records that are objects."""

    keys: tuple[str, ...]
    """Sorted, or in the order in which they are met first."""
    kinds: Kinds
    """JSON types other than null, by key: of some keys at least, see `kinds_of` for others."""


def shape_of(con: DuckDBPyConnection, parsed: str, counts: Callable[[str], bool], *, in_order: bool) -> Shape:
    """The shape of `parsed`, a SELECT with a column `__j`: the text of an object of valid JSON, or NULL.

    `counts`: whether the types of a key matter.
    """
    usual, met = _first(con, parsed)
    guess = met if in_order else tuple(sorted(met))
    if 0 < len(guess) <= MOST_KEYS:
        counting = tuple(filter(counts, guess))
        # to compare lists costs a quarter of looking for each in the other
        alike = f"CASE WHEN __k = {_list(usual)} THEN true ELSE list_has_all({_list(guess)}, __k) END"
        typed = f", json_type(__j, {paths(counting)}) AS __t" if counting else ""
        sql = (
            f"SELECT {', '.join([f'bool_and({alike})', *_lists(len(counting))])} "
            f"FROM (SELECT json_keys(__j) AS __k{typed} FROM ({parsed}))"
        )
        complete, *lists = duck.rows(con, sql)[0]
        if complete:
            return Shape(keys=guess, kinds=_by_key(counting, lists))
    return Shape(keys=tuple(_keys(con, parsed, in_order=in_order)), kinds={})


def _first(con: DuckDBPyConnection, parsed: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the first records: the list of keys that most of them have, and all keys as they are met."""
    first = f"SELECT __j FROM ({parsed}) LIMIT {FIRST}"
    listed = f"SELECT json_keys(__j) AS __k, row_number() OVER () AS __n FROM ({first}) WHERE __j IS NOT NULL"
    groups = f"SELECT __k, count(*) FROM ({listed}) GROUP BY __k ORDER BY min(__n) LIMIT {MOST_LISTS}"
    lists = [(keys, count) for keys, count in duck.rows(con, groups) if isinstance(keys, list)]
    usual = max(lists, key=lambda found: int(str(found[1])), default=([], 0))[0]
    return tuple(usual), tuple(dict.fromkeys(str(key) for keys, _ in lists for key in keys))


def kinds_of(con: DuckDBPyConnection, parsed: str, keys: tuple[str, ...]) -> Kinds:
    """The JSON types that each key has anywhere in the file, beside null."""
    if not keys:
        return {}
    lists = ", ".join(_lists(len(keys)))
    found = duck.rows(
        con, f"SELECT {lists} FROM (SELECT json_type(__j, {paths(keys)}) AS __t FROM ({parsed}))"
    )
    return _by_key(keys, found[0])


def paths(keys: Iterable[str]) -> str:
    """A list for DuckDB's functions of JSON."""
    return "[" + ", ".join(literal(pointer(key)) for key in keys) + "]"


def pointer(key: str) -> str:
    """The path of a key, whatever it holds."""
    return '$."' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _keys(con: DuckDBPyConnection, parsed: str, *, in_order: bool) -> list[str]:
    keys = f"SELECT unnest(json_keys(__j)) AS __k FROM ({parsed})"
    if not in_order:
        return sorted(str(row[0]) for row in duck.rows(con, f"SELECT DISTINCT __k FROM ({keys})"))
    numbered = f"SELECT __k, row_number() OVER () AS __n FROM ({keys})"
    found = duck.rows(con, f"SELECT __k FROM ({numbered}) GROUP BY __k ORDER BY min(__n)")
    return [str(row[0]) for row in found]


def _list(texts: tuple[str, ...]) -> str:
    return f"CAST([{', '.join(map(literal, texts))}] AS VARCHAR[])"


def _lists(count: int) -> list[str]:
    return [f"list(DISTINCT __t[{number}])" for number in range(1, count + 1)]


def _by_key(keys: tuple[str, ...], lists: Iterable[object]) -> Kinds:
    return {
        key: frozenset(str(kind) for kind in kinds if kind not in (None, "NULL"))
        if isinstance(kinds, list)
        else frozenset()
        for key, kinds in zip(keys, lists, strict=True)
    }
