"""A job's body, path and headers as one SELECT over a relation.

`Query.stream` gives the texts; where a row is bad it fails (`on_bad_row: fail`) or gives NULL and says why
(`dead_letter`). `Query.first_bad` finds and explains the row that made a stream fail.
"""

# ruff: noqa: S608 - names and texts are quoted by `mapping`, expressions were parsed alone before
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent import mapping
from agent.config.model import Expr, JsonBody, MapList, MapNode, MapObject, Target
from agent.errors import Problem
from agent.mapping import SqlType, identifier, literal, spliced
from agent.sources import duck, expressions
from agent.sources.relation import Relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """SQL text, ready to run."""

    stream: str
    """Columns: `body`, and `why`, `shown` with `dead_letter`, `path`, `h0`, `h1`, … per record, and those of
    `Wanted.carried` by their names."""
    first_bad: str
    """One row at most: its number from 1, why, and the record for people."""
    headers: tuple[str, ...]
    """The names of `h0`, `h1`, …"""
    paths: bool
    """Whether there is a `path`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What of a job goes into the query."""

    body: JsonBody
    target: Target
    dead_letter: bool
    carried: tuple[tuple[str, str], ...] = ()
    """More columns of the stream: name and SQL over the record's columns, which must not fail."""

    @property
    def per_record(self) -> bool:
        """One request per record: only then are there paths and headers of records."""
        return self.body.per == "record"

    def leaves(self) -> list[Expr]:
        """The expressions of the map."""
        return list(mapping.expressions(self.body.map))

    def fillings(self) -> list[Expr]:
        """The expressions in the path and the headers."""
        templates = [self.target.path] if self.target.path else []
        templates += [template for _, template in self.target.headers]
        return [part for template in templates for part in template.parts if isinstance(part, Expr)]


def parsed(
    con: DuckDBPyConnection, wanted: Wanted
) -> tuple[list[expressions.Parsed], list[expressions.Parsed], list[Problem]]:
    """The leaves of the map and the fillings of the templates, parsed; and what is wrong with them."""
    both: list[list[expressions.Parsed]] = []
    problems: list[Problem] = []
    for exprs in (wanted.leaves(), wanted.fillings()):
        results = [expressions.parse(con, expr) for expr in exprs]
        problems += [result for result in results if isinstance(result, Problem)]
        both.append([result for result in results if not isinstance(result, Problem)])
    if wanted.fillings() and not wanted.per_record:
        where = wanted.fillings()[0].where
        problems.append(
            Problem(
                file=where.file,
                line=where.line,
                column=where.column,
                path=where.path,
                message="an {expression} needs a record, and a batch holds many",
                hint="set body.per to record",
            )
        )
    return both[0], both[1], problems


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
    tree = _replaced(wanted.body.map, own) if wanted.body.map is not None else None
    rows = f"({_rows(relation, 0)})"
    exprs = [*mapping.expressions(tree), *wanted.fillings()]
    types, problems = expressions.bind(con, rows, exprs, relation.names)
    if problems:
        return problems
    body = _body(con, relation, wanted, tree, types, rows)
    return _query(relation, wanted, body, exprs, start_row)


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


def _body(  # noqa: PLR0917 - the parts of one sentence
    con: DuckDBPyConnection,
    relation: Relation,
    wanted: Wanted,
    tree: MapNode | None,
    types: dict[str, SqlType],
    rows: str,
) -> str:
    drop = wanted.body.nulls == "drop"
    tail = "" if wanted.per_record else ","
    if tree is not None:
        text = mapping.document(tree, types, drop=drop, tail=tail)
    elif relation.document is not None:
        text = relation.document
        if drop:
            dropped = f"CAST(json_strip_nulls({text}) AS VARCHAR)"
            text = f"CASE WHEN contains({text}, 'null') THEN {dropped} ELSE {text} END"
        text = f"({text} || {literal(tail)})"
    else:
        bound = duck.types(con, f"SELECT {', '.join(sql for _, sql in relation.entries)} FROM {rows}")
        text = mapping.record(
            tuple((key, sql, type_) for (key, sql), type_ in zip(relation.entries, bound, strict=True)),
            drop=drop,
            tail=tail,
        )
    if not relation.checks:
        return text
    bad = f"{_ours(relation)}bad"
    return f"CASE WHEN {bad} IS NULL THEN {text} ELSE CAST(__fail({bad}, {bad}) AS VARCHAR) END"


def _query(relation: Relation, wanted: Wanted, body: str, exprs: list[Expr], start_row: int) -> Query:
    extras: list[tuple[str, str]] = []
    if wanted.per_record:
        path = wanted.target.path
        extras += [("path", mapping.path(path))] if path is not None and path.fixed is None else []
        filled = [(name, template) for name, template in wanted.target.headers if template.fixed is None]
        extras += [(f"h{number}", mapping.header(*pair)) for number, pair in enumerate(filled)]
        names = tuple(name for name, _ in filled)
    else:
        names = ()
    ours = _ours(relation)
    others = "".join(f", {sql} AS {name}" for name, sql in (*extras, *wanted.carried))
    stream = f"SELECT {body} AS body{others} FROM ({_rows(relation, start_row)})"
    if wanted.dead_letter:
        chosen = "".join(f", {ours}{name} AS {name}" for name, _ in extras)
        chosen += "".join(f", {sql} AS {name}" for name, sql in wanted.carried)
        stream = (
            f"SELECT {ours}body AS body, "
            f"CASE WHEN {ours}body IS NULL THEN {_why(ours, exprs, extras)} END AS why, "
            f"CASE WHEN {ours}body IS NULL THEN {relation.shown} END AS shown{chosen} "
            f"FROM ({_tried(ours, body, extras, _rows(relation, start_row))})"
        )
    tried = _tried(ours, body, extras, _rows(relation, 0, numbered=True))
    first_bad = (
        f"SELECT {ours}n, {_why(ours, exprs, extras)}, {relation.shown} FROM ({tried}) "
        f"WHERE {ours}body IS NULL LIMIT 1"
    )
    paths = any(name == "path" for name, _ in extras)
    return Query(stream=stream, first_bad=first_bad, headers=names, paths=paths)


def _tried(ours: str, body: str, extras: list[tuple[str, str]], rows: str) -> str:
    """Texts that are NULL where they cannot be computed: nothing of ours is ever NULL otherwise."""
    tried = "".join(f", TRY({sql}) AS {ours}{name}" for name, sql in extras)
    good = " AND ".join(f"{ours}{name} IS NOT NULL" for name, _ in extras)
    inner = f"SELECT *, TRY({body}) AS {ours}text{tried} FROM ({rows})"
    text = f"CASE WHEN {good} THEN {ours}text END" if good else f"{ours}text"
    return f"SELECT *, {text} AS {ours}body FROM ({inner})"


def _why(ours: str, exprs: list[Expr], extras: list[tuple[str, str]]) -> str:
    """What is wrong with a bad row: the leaves that cannot be computed, by their place in the YAML."""
    reasons = [f"{ours}bad"]
    for expr in exprs:
        said = literal(f"{expr.where.path}: ={expr.sql} cannot be computed")
        reasons.append(f"CASE WHEN TRY(struct_pack(v := {spliced(expr.sql)})) IS NULL THEN {said} END")
    for name, _ in extras:
        said = literal(
            "the path is empty or leaves its segment" if name == "path" else "a header is not allowed"
        )
        reasons.append(f"CASE WHEN {ours}{name} IS NULL THEN {said} END")
    return f"concat_ws('; ', {', '.join(reasons)})"
