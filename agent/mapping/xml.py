"""XML 1.0: SQL of the element of a record.

    map                               element
    {a: 1}                            <a>1</a>
    {a: {"@unit": km, "#text": 5}}    <a unit="km">5</a>
    {a: [1, 2]}                       <a>1</a><a>2</a>
    a list in a list                  <a><item>1</item></a>
    a MAP                             <a><entry><key>k</key><value>1</value></entry></a>
    null, `nulls: keep`               <a></a>, and an attribute a=""
    null, `nulls: drop`               nothing

An empty text is `<a></a>` always. An empty list is nothing always. Fields of a STRUCT are what keys of the
map are, `@` and `#text` included. In an attribute and in `#text` a nested value is its JSON text.
Line feeds in texts are written as `&#10;`: the only line feeds of a body stand between its records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from xml.sax.saxutils import escape

from agent.config.model import Constant, Expr, JsonScalar, MapList, MapNode, MapObject, XmlBody
from agent.config.xml_names import trouble
from agent.mapping import texts
from agent.mapping.sql import SqlType, concat, literal, spliced

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
TEXT = "#text"
ATTRIBUTE = "@"
ITEM = "item"
ENTITIES = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def around(body: XmlBody) -> tuple[str, str]:
    """What stands before the first and after the last record."""
    if body.each is None:
        return DECLARATION, "\n"
    return f"{DECLARATION}<{body.root.name}{_declared(body)}>\n", f"\n</{body.root.name}>\n"


def _declared(body: XmlBody) -> str:
    found = ((f"xmlns:{prefix}" if prefix else "xmlns", uri) for prefix, uri in body.root.namespaces)
    return "".join(f' {name}="{escape(uri, ENTITIES)}"' for name, uri in found)


def document(node: MapNode, types: Mapping[str, SqlType], body: XmlBody, *, tail: str) -> str:
    """SQL of the element of a record and of `tail` behind it; never NULL."""
    assert isinstance(node, MapObject), "the schema lets nothing else through"
    writer = _Writer(types=types, drop=body.nulls == "drop")
    if body.each is None:
        pieces = writer.of_map(body.root.name, node, extra=_declared(body))
    else:
        pieces = writer.of_map(body.each, node)
    return concat([*pieces, literal(tail)])


class _Writer:
    def __init__(self, *, types: Mapping[str, SqlType], drop: bool) -> None:
        self.types = types
        self.drop = drop

    def of_map(self, name: str, node: MapNode, *, extra: str = "") -> list[str]:
        """Pieces of SQL of an element, or of several for a list; none of them changes by being NULL."""
        match node:
            case Constant(value=value):
                return self.absent(name) if texts.is_null(value) else [literal(_element(name, _plain(value)))]
            case Expr(sql=sql, where=where):
                return self.of_value(name, spliced(sql), self.types[sql], place=where.path)
            case MapList(items=children):
                return [piece for child in children for piece in self.of_map(name, child)]
            case MapObject(items=pairs):
                attributes = [
                    self._attribute(key, child) for key, child in pairs if key.startswith(ATTRIBUTE)
                ]
                inner = [self._text(child) for key, child in pairs if key == TEXT]
                inner += [
                    self.of_map(key, child)
                    for key, child in pairs
                    if key != TEXT and not key.startswith(ATTRIBUTE)
                ]
                return _tagged(name + extra, name, _flat(attributes), _flat(inner))

    def absent(self, name: str) -> list[str]:
        """What stands for a null."""
        return [] if self.drop else [literal(_element(name, ""))]

    def _text(self, node: MapNode) -> list[str]:
        if isinstance(node, Expr):
            return [self.escaped(spliced(node.sql), self.types[node.sql], place=node.where.path)]
        return [literal(_plain(node.value))] if isinstance(node, Constant) else []

    def _attribute(self, key: str, node: MapNode) -> list[str]:
        if isinstance(node, Expr):
            return self.attribute(key, spliced(node.sql), self.types[node.sql], place=node.where.path)
        if not isinstance(node, Constant) or (self.drop and texts.is_null(node.value)):
            return []
        return [literal(f' {key[1:]}="{_plain(node.value)}"')]

    def attribute(self, key: str, value: str, type_: SqlType, *, place: str) -> list[str]:
        """Pieces of ` name="value"`; of a null: an empty value, or nothing."""
        head, text = literal(f' {key[1:]}="'), self.escaped(value, type_, place=place)
        if self.drop:
            return [f"""coalesce({head} || {text} || '"', '')"""]
        return [head, text, "'\"'"]

    def escaped(self, value: str, type_: SqlType, *, place: str) -> str:
        """SQL of a text as it stands in an element or an attribute; NULL where it is null."""
        text = texts.text(value, type_, drop=self.drop)
        return text if type_.kind in texts.SAFE else f"__xml({text}, {literal(place)})"

    def of_value(self, name: str, value: str, type_: SqlType, *, place: str, depth: int = 0) -> list[str]:
        """Pieces of the element of a value, or of several for a list."""
        kind = type_.kind
        if kind == "null":
            return self.absent(name)
        if kind not in texts.NESTED:
            text = self.escaped(value, type_, place=place)
            if self.drop:
                return [f"coalesce({literal(f'<{name}>')} || {text} || {literal(f'</{name}>')}, '')"]
            return [literal(f"<{name}>"), text, literal(f"</{name}>")]
        if kind in ("list", "array"):
            item = type_.children[0][1]
            return [self._or_absent(name, _each(value, depth, self._item(name, item, place, depth)))]
        if kind == "map":
            pieces = [_each(f"map_entries({value})", depth, self._entry(type_, place, depth))]
            pieces = [f"coalesce({pieces[0]}, '')"]
            attributes: list[str] = []
        elif kind == "tuple":
            parts = [
                self.of_value(name, f"{value}[{number}]", child, place=place, depth=depth)
                for number, (_, child) in enumerate(type_.children, start=1)
            ]
            return [self._unless_null(name, value, _flat(parts))]
        else:
            attributes, pieces = self._fields(value, type_, place=place, depth=depth)
        return [self._unless_null(name, value, _tagged(name, name, attributes, pieces))]

    def _item(self, name: str, type_: SqlType, place: str, depth: int) -> Callable[[str], list[str]]:
        if type_.kind not in ("list", "array", "tuple"):
            return lambda value: self.of_value(name, value, type_, place=place, depth=depth + 1)

        def inner(value: str) -> list[str]:
            pieces = self.of_value(ITEM, value, type_, place=place, depth=depth + 1)
            return [self._unless_null(name, value, _tagged(name, name, [], pieces))]

        return inner

    def _entry(self, type_: SqlType, place: str, depth: int) -> Callable[[str], list[str]]:
        (_, key), (_, held) = type_.children

        def entry(value: str) -> list[str]:
            pieces = self.of_value("key", f"{value}.key", key, place=place, depth=depth + 1)
            pieces += self.of_value("value", f"{value}.value", held, place=place, depth=depth + 1)
            return _tagged("entry", "entry", [], pieces)

        return entry

    def _fields(self, value: str, type_: SqlType, *, place: str, depth: int) -> tuple[list[str], list[str]]:
        attributes: list[str] = []
        content: list[str] = []
        for key, child in type_.children:
            field = f"struct_extract({value}, {literal(key)})"
            below = f"{place}.{key}"
            if key.startswith(ATTRIBUTE):
                attributes += self.attribute(key, field, child, place=below)
            elif key == TEXT:
                content.insert(0, self.escaped(field, child, place=below))
            else:
                content += self.of_value(key, field, child, place=below, depth=depth)
        return attributes, content

    def _or_absent(self, name: str, sql: str) -> str:
        return f"coalesce({sql}, {concat(self.absent(name) or [literal('')])})"

    def _unless_null(self, name: str, value: str, pieces: list[str]) -> str:
        absent = concat(self.absent(name) or [literal("")])
        return f"CASE WHEN {value} IS NOT NULL THEN {concat(pieces or [literal('')])} ELSE {absent} END"


def _each(values: str, depth: int, item: Callable[[str], list[str]]) -> str:
    """The texts of a list's items, joined; NULL where the list is."""
    name = f"__e{depth}"
    return f"array_to_string(list_transform({values}, lambda {name}: {concat(item(name))}), '')"


def _tagged(start: str, name: str, attributes: list[str], content: list[str]) -> list[str]:
    return [literal(f"<{start}"), *attributes, "'>'", *content, literal(f"</{name}>")]


def _flat(parts: list[list[str]]) -> list[str]:
    return [piece for part in parts for piece in part]


def _element(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>"


def _plain(value: JsonScalar) -> str:
    return escape(texts.constant(value), ENTITIES)


def unfit(type_: SqlType, prefixes: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Fields of a nested type that cannot be elements or attributes: name, and what is wrong with it."""
    if type_.kind == "struct":
        for key, child in type_.children:
            name = key.removeprefix(ATTRIBUTE)
            if key != TEXT and (wrong := trouble(name, prefixes)):
                yield key, wrong
            elif key != TEXT and not key.startswith(ATTRIBUTE):
                yield from unfit(child, prefixes)
        return
    for _, child in type_.children:
        yield from unfit(child, prefixes)
