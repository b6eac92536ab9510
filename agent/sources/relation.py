"""What a kind of source gives to the one that writes the query: plain values, no DuckDB object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from agent.errors import SourceError
from agent.mapping import literal
from agent.sources.longest import Measured
from agent.sources.parts import Cut

LONGEST_LIST = 30
"""Columns named in a hint."""
LONGEST_NAME = 100
"""Characters of each of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Uses:
    """Which columns the job's expressions name, in lower case."""

    bare: frozenset[str] = frozenset()
    """Alone in a leaf of the map: `=lat`."""
    compound: frozenset[str] = frozenset()
    """Inside a larger expression, or in a path or a header."""
    record: bool = False
    """There is no map: the record is sent as it is."""
    every: bool = False
    """There is no map, and the format knows columns, not documents: all of them, as `Relation.entries`."""
    shaped: bool = False
    """`Relation.raw` of a nested JSON value is a STRUCT or LIST, for a format that is not JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column that expressions may name."""

    name: str
    sql: str
    """Its value, over `Relation.base`."""
    text: str = ""
    """SQL of its exact text, where the value has not all of it: a number without bounds; "": the value's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """A file as rows: `base` is a SELECT; everything else is SQL over it."""

    base: str
    """One row per record, in the order of the file. Nothing in it may fail because of what a value is."""
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    """All names that the file has, for people."""
    entries: tuple[tuple[str, str], ...] = ()
    """Key and SQL over the columns, of a record that is sent as it is."""
    document: str | None = None
    """Or: SQL of its JSON text over `base`."""
    raw: Mapping[str, str] = field(default_factory=dict)
    """Lower-case name → SQL over `base` of the column's own JSON text, with all its digits."""
    strict: bool = False
    """Whether the JSON texts of `raw` are surely of RFC 8259, as long as the checks find nothing wrong."""
    shown: str
    """SQL over `base`: a text of the record for people, for a bad one."""
    checks: tuple[str, ...] = ()
    """SQL over `base`: what is wrong with the row, NULL when nothing is."""
    rejects: bool = False
    """Rows that could not be split into fields are in DuckDB's table `reject_errors`."""
    typed_by: str = ""
    """The file's path in `base`, where all else in it says what the types are, whatever the file holds."""
    line_of: Callable[[int], int | None]
    """The line in the file on which a record (from 1) ends; reads the file again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """An open file: `path` is its name for people, `reading` the one to open (it cannot be swapped)."""

    path: str
    reading: str
    gzipped: bool
    lines: int = 0
    """Of the file, before those that are read: a part of a log."""
    rows: int = 0
    """Records before them."""
    measured: Measured | None = None
    """What was found out about a CSV file, once it was."""
    cut: Cut | None = None
    """A CSV file with line ends within quotes, as it is read."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


def listed(names: tuple[str, ...]) -> str:
    """The columns there are, for a hint: a file that is no CSV may have one name of a megabyte."""
    return ", ".join(name[:LONGEST_NAME] for name in names[:LONGEST_LIST]) + (
        ", …" if len(names) > LONGEST_LIST else ""
    )


def require(file: Opened, wanted: tuple[str, ...], there: tuple[str, ...]) -> None:
    """Refuse a file that lacks columns. Raises SourceError naming them and the columns there are."""
    missing = [name for name in wanted if name not in there]
    if not missing:
        return
    lowered = {name.lower(): name for name in there}
    close = [
        lowered[match]
        for name in missing
        for match in get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    ]
    hint = (f"did you mean {', '.join(close)}? " if close else "") + f"columns there are: {listed(there)}"
    plural = "s" if len(missing) > 1 else ""
    raise SourceError(f"{file.name}: missing column{plural} {', '.join(missing)}", hint=hint, lasting=True)


def unique(file: Opened, names: tuple[str, ...], *, hint: str = "") -> None:
    """Refuse a file with the same column twice. Raises SourceError."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            message = f"{file.name}: the column {name[:LONGEST_NAME]!r} is there twice"
            raise SourceError(message, hint=hint, lasting=True)
        seen.add(name)


def typed(name: str, value: str, type_: str, *, exact: str = "") -> tuple[Column, str]:
    """A column of text read as a type, and the check that says which text is none.

    `type_` was found to be a type's name by `type_name`. Empty text is NULL. `exact` is SQL of the value
    where the text has lost digits already.
    """
    text = f"nullif({value}, '')"
    tried = f"TRY_CAST({text} AS {type_})"
    if exact:
        tried = f"CASE WHEN {tried} IS NOT NULL THEN {exact} END"
    said = "column " + name + ": "
    check = (
        f"CASE WHEN {text} IS NOT NULL AND {tried} IS NULL THEN "
        f"{literal(said)} || to_json(left({text}, 60)) || {literal(' is not a ' + type_)} END"
    )
    return Column(name=name, sql=tried), check
