"""`body:` → Body."""

from __future__ import annotations

from agent.config.contract import build_contract
from agent.config.contract import check_map as check_contract
from agent.config.document import Scalar, Tree
from agent.config.map_tree import build_map
from agent.config.model import (
    Body,
    CsvBody,
    Expr,
    JsonBody,
    MapList,
    MapNode,
    MapObject,
    NdjsonBody,
    RawBody,
    Where,
    XmlBody,
    XmlRoot,
)
from agent.config.view import Findings, View
from agent.config.xml_tree import check_map, check_name, check_namespaces

RECORDS = "records"


def build_body(body: View) -> Body | None:
    """None when its format is unknown or what it must have is missing."""
    match body.word("format", ""):
        case "raw":
            return RawBody(content_type=body.text("content_type") or RawBody().content_type)
        case "json":
            return _json(body)
        case "ndjson":
            ndjson = NdjsonBody()
            lines = NdjsonBody(
                per=body.word("per", ndjson.per),
                map=_tree(body, "map"),
                nulls=body.word("nulls", ndjson.nulls),
                content_type=body.text("content_type") or ndjson.content_type,
                contract=build_contract(body, "json"),
            )
            check_contract(body, lines.contract, lines.map, lines.nulls)
            return lines
        case "csv":
            return _csv(body)
        case "xml":
            return _xml(body)
    return None


def _json(body: View) -> JsonBody:
    default = JsonBody()
    made = JsonBody(
        per=body.word("per", default.per),
        map=_tree(body, "map"),
        nulls=body.word("nulls", default.nulls),
        content_type=body.text("content_type") or default.content_type,
        wrap=_tree(body, "wrap"),
        contract=build_contract(body, "json"),
    )
    check_contract(body, made.contract, made.map, made.nulls)
    if made.wrap is not None:
        if made.per == "record":
            hint = "write `per: batch`, or put it into `map`"
            body.found.error(body.at("wrap"), "stands around many records, and each request holds one", hint)
        _check_wrap(made.wrap, body.at("wrap"), body.found)
    return made


def _csv(body: View) -> CsvBody:
    default = CsvBody()
    made = CsvBody(
        per=body.word("per", default.per),
        map=_mapping(body),
        nulls=body.word("nulls", default.nulls),
        content_type=body.text("content_type") or default.content_type,
        delimiter=body.text("delimiter") or default.delimiter,
        header=body.flag("header", default=default.header),
        quoting=body.word("quoting", default.quoting),
    )
    _check_columns(body)
    return made


def _xml(body: View) -> XmlBody | None:
    root = body.view("root")
    name = root.text("name") if root else None
    if root is None or name is None:
        return None
    made = XmlBody(
        root=XmlRoot(name=name, namespaces=_namespaces(root)),
        each=body.text("each"),
        per=body.word("per", "batch"),
        map=_mapping(body),
        nulls=body.word("nulls", "keep"),
        content_type=body.text("content_type") or XmlBody(root=XmlRoot(name=name)).content_type,
        contract=build_contract(body, "xsd"),
    )
    section = root.section("namespaces")
    check_namespaces(made.root, {key: section.at(key) for key in section.tree.entries}, body.found)
    prefixes = dict(made.root.namespaces)
    check_name(made.root.name, prefixes, root.at("name"), body.found)
    if made.each is not None:
        check_name(made.each, prefixes, body.at("each"), body.found)
    elif made.per == "batch":
        hint = "add `each: NAME`, the element of one record below the root; or write `per: record`"
        body.found.error(body.where, "a batch needs an element for each record", hint)
    node = body.node("map")
    if made.map is not None and node is not None:
        check_map(node, prefixes, body.at("map"), body.found)
    return made


def _namespaces(root: View) -> tuple[tuple[str, str], ...]:
    section = root.section("namespaces")
    return tuple((prefix, section.text(prefix) or "") for prefix in section.tree.entries)


def _tree(body: View, key: str) -> MapNode | None:
    node = body.node(key)
    return build_map(node, body.at(key), body.found) if node is not None else None


def _mapping(body: View) -> MapNode | None:
    """A map that must be one: the schema tells what else it is."""
    return _tree(body, "map") if isinstance(body.node("map"), Tree) else None


def _check_wrap(wrap: MapNode, where: Where, found: Findings) -> None:
    count = _records(wrap)
    if count != 1:
        said = "holds no =records" if count == 0 else "holds =records more than once"
        found.error(where, said, "for example `wrap: {events: =records}`: there the list of records stands")


def _records(node: MapNode) -> int:
    match node:
        case Expr(sql=sql):
            return int(sql == RECORDS)
        case MapObject(items=pairs):
            return sum(_records(child) for _, child in pairs)
        case MapList(items=children):
            return sum(_records(child) for child in children)
    return 0


def _check_columns(body: View) -> None:
    """Characters of the config itself that a text file cannot hold. In nested values JSON escapes them."""
    columns = body.section("map")
    for name, entry in columns.tree.entries.items():
        value = entry.node.value if isinstance(entry.node, Scalar) else ""
        if not _is_text(name) or not _is_text(str(value)):
            columns.found.error(columns.at(name), "holds a character that text cannot hold", "delete it")


def _is_text(text: str) -> bool:
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
