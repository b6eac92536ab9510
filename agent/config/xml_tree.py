"""What can be wrong with the names of an XML body."""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.document import Node, Scalar, Sequence, Tree
from agent.config.model import Where, XmlRoot
from agent.config.places import join
from agent.config.view import Findings
from agent.config.xml_names import RESERVED, forbidden, is_plain_name, trouble

_TAKEN = frozenset({"http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/"})
_NAME_HINT = "a letter or _, then letters, digits, - _ and . (no spaces)"


def check_namespaces(root: XmlRoot, places: Mapping[str, Where], found: Findings) -> None:
    """Prefixes are names, and each stands for something."""
    for prefix, uri in root.namespaces:
        where = places[prefix]
        if prefix.lower() in RESERVED:
            found.error(where, f"the prefix {prefix} belongs to XML itself", "choose another one")
        elif prefix and not is_plain_name(prefix):
            found.error(where, "is not an XML name", _NAME_HINT)
        elif not uri.strip() or forbidden(uri) or uri in _TAKEN:
            found.error(where, "is not the URI of a namespace", "copy the XSD's `targetNamespace`")


def check_name(name: str, prefixes: Mapping[str, str], where: Where, found: Findings) -> None:
    """The name of an element or an attribute."""
    wrong = trouble(name, prefixes)
    if not wrong:
        return
    prefix = name.partition(":")[0]
    declared = f"add `{prefix}: URI` to root.namespaces"
    found.error(where, f'"{name}": {wrong}', declared if "declared" in wrong and ":" in name else _NAME_HINT)


def check_map(node: Node, prefixes: Mapping[str, str], where: Where, found: Findings) -> None:
    """Every name and every constant below a map."""
    if isinstance(node, Tree):
        _check_attributes(list(node.entries), prefixes, where, found)
        for key, entry in node.entries.items():
            below = Where(file=where.file, line=entry.line, column=entry.column, path=join(where.path, key))
            if key == "#text" or key.startswith("@"):
                _check_single(key, entry.node, below, found)
            if key != "#text":
                check_name(key.removeprefix("@"), prefixes, below, found)
            check_map(entry.node, prefixes, below, found)
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            below = Where(file=where.file, line=item.line, column=item.column, path=join(where.path, index))
            if isinstance(item, Sequence):
                hint = "give the inner list an element of its own: {row: [1, 2]}"
                found.error(below, "a list in a list has no name in XML", hint)
            check_map(item, prefixes, below, found)
    elif isinstance(node, Scalar) and isinstance(node.value, str) and (char := forbidden(node.value)):
        found.error(where, f"{char} cannot stand in XML", "delete it")


def _check_single(key: str, node: Node, where: Where, found: Findings) -> None:
    if not isinstance(node, Scalar):
        what = "a text" if key == "#text" else "an attribute"
        found.error(where, f"{what} is one value", "write a value or an =expression")


def _check_attributes(keys: list[str], prefixes: Mapping[str, str], where: Where, found: Findings) -> None:
    """Two prefixes of one namespace make one name of two attributes."""
    seen: set[tuple[str, str]] = set()
    for key in keys:
        prefix, colon, local = key[1:].rpartition(":")
        if not key.startswith("@") or not colon:
            continue
        name = (prefixes.get(prefix, prefix), local)
        if name in seen:
            found.error(where, f"the attribute {key[1:]} is there twice, under two prefixes", "delete one")
        seen.add(name)
