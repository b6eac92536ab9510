"""What stands around the records of a body, and between them.

    head   record separator record separator record   tail

No frame is a guess: the head and the tail are constants of a reading, so a body is taken apart by cutting
`head` and `tail` off and looking for the ends of the records in what is left:

- JSON: each record is one JSON text; where it ends a JSON parser says (the separator is a comma, which a
  record may hold);
- NDJSON: a line feed, which no record holds;
- XML: a line feed, which no record holds, since it is written as `&#10;` in text;
- CSV: a line break outside of quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.config.model import (
    Constant,
    CsvBody,
    Expr,
    JsonBody,
    MapList,
    MapNode,
    MapObject,
    NdjsonBody,
    RecordBody,
    XmlBody,
)
from agent.mapping import csv, json, xml
from agent.mapping.sql import expressions
from agent.parts import Form

RECORDS = "records"
"""`=records`: the one leaf of a `wrap` where the records stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """UTF-8."""

    head: bytes = b""
    separator: bytes = b""
    """Between two records; the SQL of a record's text brings it along, at its end."""
    tail: bytes = b""
    format: str = ""
    """By which rule a body of several records is taken apart (`body.format`); "": it never is."""

    @property
    def form(self) -> str:
        """As it is kept with a message."""
        return str(Form(format=self.format, head=len(self.head), tail=len(self.tail))) if self.format else ""

    def around(self, text: bytes) -> bytes:
        """A body of one record."""
        return b"".join((self.head, text, self.tail))

    @property
    def size(self) -> int:
        """Bytes that it adds to a record that stands alone."""
        return len(self.head) + len(self.tail)


def frame(body: RecordBody, tree: MapNode | None, leaves: Mapping[str, str | None]) -> Frame:
    """The frame of a job's bodies.

    `tree` is the map, or the record as one; `leaves` has the JSON text of each expression of `wrap` but
    `=records`, by its SQL.
    """
    match body:
        case XmlBody():
            head, tail = xml.around(body)
            return Frame(head=head.encode(), separator=b"\n", tail=tail.encode(), format="xml")
        case CsvBody():
            head = csv.header(csv.names(tree), body) if body.header and tree is not None else ""
            line = csv.BREAK.encode()
            return Frame(head=head.encode(), separator=line, tail=line, format="csv")
        case NdjsonBody():
            return Frame(separator=b"\n", tail=b"\n", format="ndjson")
        case JsonBody():
            if body.per == "record":
                return Frame()
            head, tail = _wrapped(body.wrap, leaves, drop=body.nulls == "drop") if body.wrap else ("[", "]")
            return Frame(head=head.encode(), separator=b",", tail=tail.encode(), format="json")


def constants(wrap: MapNode | None) -> tuple[Expr, ...]:
    """The expressions of a `wrap` that are computed once per reading."""
    return tuple(expr for expr in expressions(wrap) if expr.sql != RECORDS)


def _wrapped(wrap: MapNode, leaves: Mapping[str, str | None], *, drop: bool) -> tuple[str, str]:
    pieces = _texts(wrap, leaves, drop=drop)
    assert pieces is not None
    at = pieces.index(None)
    before, after = pieces[:at], pieces[at + 1 :]
    return "".join(filter(None, before)) + "[", "]" + "".join(filter(None, after))


def _texts(node: MapNode, leaves: Mapping[str, str | None], *, drop: bool) -> list[str | None] | None:
    """The JSON text of a `wrap` in pieces: None among them is where the records stand; None alone: null."""
    match node:
        case Expr(sql=sql) if sql == RECORDS:
            return [None]
        case Expr(sql=sql):
            computed = leaves[sql]
            return None if computed is None else [computed]
        case Constant(value=value):
            text = json.constant(value)
            return None if text == "null" else [text]
        case MapList(items=children):
            found: list[list[str | None]] = [
                _texts(child, leaves, drop=drop) or ["null"] for child in children
            ]
            return ["[", *_joined(found), "]"]
        case MapObject(items=pairs):
            entries: list[list[str | None]] = []
            for key, child in pairs:
                written = _texts(child, leaves, drop=drop)
                if written is not None or not drop:
                    entries.append([json.constant(key) + ":", *(written or ["null"])])
            return ["{", *_joined(entries), "}"]


def _joined(parts: list[list[str | None]]) -> list[str | None]:
    return [piece for number, part in enumerate(parts) for piece in ([","] if number else []) + part]
