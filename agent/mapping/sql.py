"""SQL text, as all writers put it together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.config.model import Expr, MapList, MapNode, MapObject


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlType:
    """A DuckDB type, as far as bodies care."""

    kind: str
    """DuckDB's own word in lower case; `json` for its alias of VARCHAR."""
    children: tuple[tuple[str, SqlType], ...] = ()
    """Fields of a struct or tuple; the element of a list (`child`); `key` and `value` of a map."""
    strict: bool = False
    """Of `json`: whether its text is known to be RFC 8259, of which DuckDB takes more."""


TEXT = SqlType(kind="varchar")
JSON = SqlType(kind="json")
STRICT = SqlType(kind="json", strict=True)


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A SQL identifier. The name must not be empty."""
    return '"' + name.replace('"', '""') + '"'


def spliced(sql: str) -> str:
    """An expression of the user inside our SQL: on lines of its own, so that `--` swallows nothing."""
    return f"(\n{sql}\n)"


def expressions(node: MapNode | None) -> Iterator[Expr]:
    """Every expression of a map, in the order of the document."""
    match node:
        case Expr():
            yield node
        case MapObject(items=pairs):
            for _, child in pairs:
                yield from expressions(child)
        case MapList(items=children):
            for child in children:
                yield from expressions(child)


def concat(pieces: list[str]) -> str:
    """SQL that joins pieces of SQL; neighbouring literals become one, so that constants cost nothing."""
    merged: list[str] = []
    for piece in pieces:
        if merged and is_literal(merged[-1]) and is_literal(piece):
            merged[-1] = merged[-1][:-1] + piece[1:]
        else:
            merged.append(piece)
    return f"concat({', '.join(merged)})"


def is_literal(piece: str) -> bool:
    """Whether a piece of SQL is one string literal."""
    return piece.startswith("'") and "'" not in piece[1:-1].replace("''", "") and piece.endswith("'")
