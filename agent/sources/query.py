"""A job's body, path and headers as one SELECT over a relation.

`Query.stream` gives the texts; where a row is bad it fails (`on_bad_row: fail`) or gives NULL and says why
(`dead_letter`). `Query.first_bad` finds and explains the row that made a stream fail.
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent import mapping
from agent.config.model import (
    ByKey,
    CsvBody,
    Expr,
    MapList,
    MapNode,
    MapObject,
    Template,
    Where,
    XmlBody,
)
from agent.errors import Problem
from agent.mapping import Frame, SqlType, identifier, literal
from agent.sources import dealing, duck, expressions, frames
from agent.sources.asked import Wanted, parsed
from agent.sources.reasons import reasons, why
from agent.sources.relation import Relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Query", "Wanted", "build", "parsed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """SQL text, ready to run."""

    stream: str
    """Columns: `body`, and `why`, `shown` with `dead_letter`, `path`, `h0`, `h1`, … per record, `lane`,
    `as_of`, `subject`, `k0`, `k1`, … (see `dealing`) where the job needs them, and those of `Wanted.carried`
    by their names."""
    first_bad: str
    """One row at most: its number from 1, why, and the record for people."""
    headers: tuple[str, ...]
    """The names of `h0`, `h1`, …"""
    frame: Frame
    """What stands around the texts of `body`; with `per: batch` each ends with its separator."""
    paths: bool
    """Whether there is a `path`."""
    types: Mapping[str, SqlType] = field(default_factory=dict)
    """Of each expression, by its SQL."""


def build(
    con: DuckDBPyConnection,
    relation: Relation,
    wanted: Wanted,
    leaves: list[expressions.Parsed],
    *,
    start_row: int,
) -> Query | list[Problem]:
    """Bind the expressions to the columns and write the query; or say what is wrong."""
    own = {
        leaf.expr.sql: relation.raw[leaf.bare] for leaf in leaves if leaf.bare and leaf.bare in relation.raw
    }
    tree = _replaced(wanted.body.map, own) if wanted.body.map is not None else _of_record(relation, wanted)
    rows = f"({_rows(relation, 0)})"
    exprs = [*mapping.expressions(tree), *wanted.fillings(), *wanted.dealt()]
    types, problems = expressions.bind(con, rows, exprs, relation.names, file=relation.typed_by)
    if relation.strict:
        types |= {sql: mapping.STRICT for sql in own.values() if types.get(sql) == mapping.JSON}
    if not problems and isinstance(wanted.body, XmlBody) and tree is not None:
        problems = list(_unfit(wanted.body, tree, types))
    if problems:
        return problems
    frame = frames.made(con, wanted.body, tree)
    if not isinstance(frame, Frame):
        return frame
    extras, names = _extras(wanted)
    expire = wanted.delivery.expire
    if expire is not None and expire.of is not None:
        if (problem := dealing.no_time(expire.of, types[expire.of.sql])) is not None:
            return [problem]
        extras.append(("as_of", dealing.as_of(expire.of, types[expire.of.sql])))
    if (latest := wanted.delivery.latest_by) is not None:
        extras.append(("subject", dealing.subject(latest, types[latest.sql])))
    extras += [(f"k{n}", dealing.key_mark(key, types[key.sql])) for n, key in enumerate(wanted.keys)]
    known = tree
    if tree is None and relation.document is None:
        columns = [sql for _, sql in relation.entries]
        bound = duck.types(con, f"SELECT {', '.join(columns)} FROM {rows}")
        types = {**types, **dict(zip(columns, bound, strict=True))}
        known = _map_of([pair for pair in relation.entries if mapping.may_fail(types[pair[1]])], wanted)
    body = _body(relation, wanted, tree, types, frame)
    whys = reasons(wanted, known, types)
    made = _query(relation, wanted, body, frame, whys, extras, names, start_row)
    return replace(made, types=types)


def _of_record(relation: Relation, wanted: Wanted) -> MapNode | None:
    """A record as it is, as a map: for formats that know no types. None: JSON, which has its own way."""
    return _map_of(relation.entries, wanted) if isinstance(wanted.body, CsvBody | XmlBody) else None


def _map_of(entries: Sequence[tuple[str, str]], wanted: Wanted) -> MapNode:
    at = wanted.target.where
    return MapObject(
        items=tuple(
            (name, Expr(sql=sql, where=Where(file=at.file, line=at.line, column=at.column, path=name)))
            for name, sql in entries
        )
    )


def _unfit(body: XmlBody, tree: MapNode, types: dict[str, SqlType]) -> Iterator[Problem]:
    for where, message in mapping.unfit(body, tree, types):
        yield Problem(
            file=where.file,
            line=where.line,
            column=where.column,
            path=where.path,
            message=message,
            hint="give each its own name in `body.map`",
        )


def _ours(relation: Relation) -> str:
    """What names of ours begin with: more underscores than any column has.

    Whoever writes the file names its columns, and of two columns with one name SQL takes the first: a
    column `body` must not become the body.
    """
    names = [column.name for column in relation.columns]
    return "_" * max([2, *(len(name) - len(name.lstrip("_")) + 1 for name in names)])


def _replaced(node: MapNode, own: dict[str, str]) -> MapNode:
    """The map with leaves that are a column of a JSON document replaced by its JSON text."""
    match node:
        case Expr(sql=sql, where=where):
            return Expr(sql=own.get(sql, sql), where=where)
        case MapObject(items=pairs):
            return MapObject(items=tuple((key, _replaced(child, own)) for key, child in pairs))
        case MapList(items=children):
            return MapList(items=tuple(_replaced(child, own) for child in children))
    return node


def _rows(relation: Relation, start_row: int, *, numbered: bool = False) -> str:
    """The relation with its columns by the user's names. Ambiguous names (`id`, `ID`) stay unnamed."""
    lowered = Counter(column.name.lower() for column in relation.columns)
    named = [
        f"{column.sql} AS {identifier(column.name)}"
        for column in relation.columns
        if column.name and lowered[column.name.lower()] == 1
    ]
    checks = ", ".join((*relation.checks, "CAST(NULL AS VARCHAR)"))
    ours = _ours(relation)
    bad = [f"coalesce({checks}) AS {ours}bad"]
    number = [f"row_number() OVER () AS {ours}n"] if numbered else []
    skipped = f" OFFSET {start_row}" if start_row else ""
    return f"SELECT *, {', '.join([*named, *bad, *number])} FROM ({relation.base}{skipped})"


def _body(
    relation: Relation, wanted: Wanted, tree: MapNode | None, types: dict[str, SqlType], frame: Frame
) -> str:
    drop = wanted.body.nulls == "drop"
    tail = "" if wanted.per_record else frame.separator.decode()
    if tree is not None:
        text = mapping.text(wanted.body, tree, types, tail=tail)
    elif relation.document is not None:
        text = relation.document
        if drop:
            dropped = f"CAST(json_strip_nulls({text}) AS VARCHAR)"
            text = f"CASE WHEN contains({text}, 'null') THEN {dropped} ELSE {text} END"
        text = mapping.one_line(wanted.body, text)
        text = f"({text} || {literal(tail)})"
    else:
        columns = tuple((key, sql, types[sql]) for key, sql in relation.entries)
        text = mapping.record(columns, drop=drop, tail=tail)
    return text


def _guarded(relation: Relation, text: str) -> str:
    """A text that fails where the row is bad."""
    if not relation.checks:
        return text
    bad = f"{_ours(relation)}bad"
    return f"CASE WHEN {bad} IS NULL THEN {text} ELSE CAST(__fail({bad}, {bad}) AS VARCHAR) END"


def _extras(wanted: Wanted) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Name and SQL of what a request or its way needs beside the body; and the names of the headers."""
    extras: list[tuple[str, str]] = []
    names: tuple[str, ...] = ()
    if wanted.per_record:
        path = wanted.target.path
        extras += [("path", mapping.path(path))] if path is not None and path.fixed is None else []
        filled = _filled(wanted)
        extras += [(f"h{number}", mapping.header(*pair)) for number, pair in enumerate(filled)]
        names = tuple(name for name, _ in filled)
    if isinstance(wanted.delivery.order, ByKey):
        extras.append(("lane", dealing.lane(wanted.delivery.order)))
    return extras, names


def _filled(wanted: Wanted) -> list[tuple[str, Template]]:
    """The headers that each record fills."""
    return [(name, template) for name, template in wanted.target.headers if template.fixed is None]


def _troubles(wanted: Wanted) -> dict[str, str]:
    """SQL of what is wrong with the path or a header, by the name of the extra."""
    path = wanted.target.path
    found = {f"h{number}": mapping.header_trouble(*pair) for number, pair in enumerate(_filled(wanted))}
    return found | ({"path": mapping.path_trouble(path)} if path is not None and path.fixed is None else {})


def _query(  # noqa: PLR0917 - the parts of one sentence
    relation: Relation,
    wanted: Wanted,
    body: str,
    frame: Frame,
    whys: list[str],
    extras: list[tuple[str, str]],
    names: tuple[str, ...],
    start_row: int,
) -> Query:
    ours, troubles = _ours(relation), _troubles(wanted)
    others = "".join(f", {sql} AS {name}" for name, sql in (*extras, *wanted.carried))
    # the text is computed below the CASE: inside of it, what an expression has twice would be computed twice
    below = f"SELECT *, {body} AS {ours}text FROM ({_rows(relation, start_row)})"
    stream = f"SELECT {_guarded(relation, f'{ours}text')} AS body{others} FROM ({below})"
    body = _guarded(relation, body)
    if wanted.dead_letter:
        chosen = "".join(f", {ours}{name} AS {name}" for name, _ in extras)
        chosen += "".join(f", {sql} AS {name}" for name, sql in wanted.carried)
        stream = (
            f"SELECT {ours}body AS body, "
            f"CASE WHEN {ours}body IS NULL THEN {why(ours, whys, extras, troubles)} END AS why, "
            f"CASE WHEN {ours}body IS NULL THEN {relation.shown} END AS shown{chosen} "
            f"FROM ({_tried(ours, body, extras, _rows(relation, start_row))})"
        )
    tried = _tried(ours, body, extras, _rows(relation, 0, numbered=True))
    first_bad = (
        f"SELECT {ours}n, {why(ours, whys, extras, troubles)}, {relation.shown} FROM ({tried}) "
        f"WHERE {ours}body IS NULL LIMIT 1"
    )
    paths = any(name == "path" for name, _ in extras)
    return Query(stream=stream, first_bad=first_bad, headers=names, frame=frame, paths=paths)


def _tried(ours: str, body: str, extras: list[tuple[str, str]], rows: str) -> str:
    """Texts that are NULL where they cannot be computed: nothing of ours is ever NULL otherwise."""
    tried = "".join(f", TRY({sql}) AS {ours}{name}" for name, sql in extras)
    good = " AND ".join(f"{ours}{name} IS NOT NULL" for name, _ in extras)
    inner = f"SELECT *, TRY({body}) AS {ours}text{tried} FROM ({rows})"
    text = f"CASE WHEN {good} THEN {ours}text END" if good else f"{ours}text"
    return f"SELECT *, {text} AS {ours}body FROM ({inner})"
