"""`body.map` and `{expression}` templates → the model's nodes. What an expression means is not known here."""

from __future__ import annotations

from agent.config.document import Node, Scalar, Sequence, Tree
from agent.config.model import Constant, Expr, MapList, MapNode, MapObject, Template, Where
from agent.config.places import join
from agent.config.scalars import Trap
from agent.config.view import Findings


def build_map(node: Node, where: Where, found: Findings) -> MapNode:
    """A tree in the shape of the document; leaves that start with `=` are expressions."""
    if isinstance(node, Tree):
        items = []
        for key, entry in node.entries.items():
            below = Where(file=where.file, line=entry.line, column=entry.column, path=join(where.path, key))
            items.append((key, build_map(entry.node, below, found)))
        return MapObject(items=tuple(items))
    if isinstance(node, Sequence):
        parts = []
        for index, item in enumerate(node.items):
            below = Where(file=where.file, line=item.line, column=item.column, path=join(where.path, index))
            parts.append(build_map(item, below, found))
        return MapList(items=tuple(parts))
    assert isinstance(node, Scalar)
    return _leaf(node, where, found)


def _leaf(node: Scalar, where: Where, found: Findings) -> Constant | Expr:
    value = node.value
    if isinstance(value, Trap):
        found.error(where, value.why, value.hint)
    if not isinstance(value, str) or not value.startswith("="):
        return Constant(value=str(value) if isinstance(value, Trap) else value)
    if value.startswith("=="):
        return Constant(value=value[1:])
    sql = value[1:].strip()
    if not sql:
        found.error(where, "there is no expression after =", 'for the text itself, write "=="')
    at = Where(file=where.file, line=node.line, column=node.column, path=where.path)
    return Expr(sql=sql, where=at)


def build_template(text: str, where: Where, found: Findings) -> Template:
    """`/devices/{id}`; `{{` and `}}` are braces. An expression may hold braces and quotes of its own."""
    parts: list[str | Expr] = []
    fixed, at = "", 0
    while at < len(text):
        pair = text[at : at + 2]
        if pair in {"{{", "}}"}:
            fixed, at = fixed + pair[0], at + 2
        elif text[at] == "{":
            end = _end_of_expression(text, at)
            sql = text[at + 1 : end - 1].strip()
            if end > len(text) or not sql:
                _brace(
                    where,
                    found,
                    "a { is never closed" if end > len(text) else "there is nothing between { and }",
                )
                break
            parts += [fixed, Expr(sql=sql.removeprefix("="), where=where)]
            fixed, at = "", end
        elif text[at] == "}":
            _brace(where, found, "a } closes nothing")
            break
        else:
            fixed, at = fixed + text[at], at + 1
    parts.append(fixed)
    return Template(parts=tuple(part for part in parts if part != ""), where=where)


def _brace(where: Where, found: Findings, message: str) -> None:
    found.error(where, message, "write {expression}, or {{ and }} for the braces themselves")


def _end_of_expression(text: str, start: int) -> int:
    """The index after the brace that closes the one at `start`; beyond the end when none does."""
    depth, quote = 0, ""
    for index in range(start, len(text)):
        char = text[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return index + 1
    return len(text) + 1
