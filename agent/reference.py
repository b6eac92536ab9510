"""The JSON Schemas as a reference that people read: one table for each place that has keys. Pure.

The words are those of the schemas; nothing is said twice. `docs/REFERENCE.md` is made of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

Node: TypeAlias = "Mapping[str, object]"

# Texts that YAML takes as they are; everything else is shown in quotes.
_BARE = re.compile(r"[A-Za-z/][\w./@+-]*([ :][\w./@+-]+)*|https?://[\w./:@+-]+|[0-9]+(\.[0-9]+)?[A-Za-z/]+")


def schema_reference(schema: Node, level: int = 2) -> str:
    """One kind of file as Markdown; `level` is that of its heading."""
    definitions = cast("Mapping[str, Node]", schema.get("$defs", {}))
    writer = _Writer(definitions, level)
    title = str(schema["title"]).removeprefix("push-agent: ")
    parts = [f"{'#' * level} {title[:1].upper()}{title[1:]}", str(schema["description"])]
    return "\n\n".join([*parts, *writer.sections("", schema, "")]) + "\n"


def flow(value: object) -> str:
    """A value as YAML that fits in a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(part) for part in value) + "]"
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


class _Writer:
    def __init__(self, definitions: Mapping[str, Node], level: int) -> None:
        self._definitions = definitions
        self._mark = "#" * (level + 1)
        self._written: set[str] = set()

    def sections(self, path: str, node: Node, heading: str) -> Iterator[str]:
        """The table of one place, then those of the places below it."""
        node = self._resolved(node)
        properties = cast("Mapping[str, Node]", node.get("properties", {}))
        if heading:
            yield f"{self._mark} {heading}"
        if properties:
            yield self._table(properties, cast("list[str]", node.get("required", [])))
        for key, part in properties.items():
            yield from self._below(f"{path}.{key}" if path else key, part)
        for key, name, variant in self._variants(node):
            title = f"`{path}` with `{key}: {name}`"
            description = str(variant.get("description", ""))
            yield f"{self._mark} {title}"
            yield description
            yield from self.sections(path, self._without(variant, key), "")

    def _below(self, path: str, part: Node) -> Iterator[str]:
        """The sections of a key, when it has keys of its own."""
        inner = self._keyed(part)
        if inner is None:
            return
        sections = list(self.sections(path, inner, f"`{path}`"))
        text = "\n\n".join(sections)
        if text not in self._written:  # all kinds of a source have the same `done`
            self._written.add(text)
            yield text

    def _keyed(self, part: Node) -> Node | None:
        """The schema that says which keys a value has; None when it has none. Secrets have their own text."""
        if str(part.get("$ref", "")).endswith(("/secret", "/secret_or_text")):
            return None
        node = self._resolved(part)
        if "properties" in node:
            return node
        for word in ("else", "then", "items"):
            branch = node.get(word)
            if isinstance(branch, dict) and (found := self._keyed(branch)) is not None:
                return found
        return None

    def _variants(self, node: Node) -> Iterator[tuple[str, str, Node]]:
        """`if type is csv then …`: key, value, what holds then."""
        for branch in cast("list[Node]", node.get("allOf", [])):
            condition = cast("Node", branch.get("if", {}))
            for key, choice in cast("Mapping[str, Node]", condition.get("properties", {})).items():
                if "const" in choice:
                    yield key, str(choice["const"]), self._resolved(cast("Node", branch["then"]))

    def _without(self, node: Node, key: str) -> Node:
        """The variant without the key that chose it."""
        properties = cast("Mapping[str, Node]", node.get("properties", {}))
        return {**node, "properties": {name: part for name, part in properties.items() if name != key}}

    def _resolved(self, node: Node) -> Node:
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node
        named = self._resolved(self._definitions[reference.removeprefix("#/$defs/")])
        return {**named, **{key: value for key, value in node.items() if key != "$ref"}}

    def _table(self, properties: Mapping[str, Node], required: list[str]) -> str:
        lines = ["| key | what | value | default | example |", "|---|---|---|---|---|"]
        for name, raw in properties.items():
            part = self._resolved(raw)
            default = (
                "**required**" if name in required else _code(part["default"]) if "default" in part else ""
            )
            examples = cast("list[object]", part.get("examples", []))
            cells = [
                f"`{name}`",
                str(part["description"]),
                self._value(part),
                default,
                "<br>".join(_code(example) for example in examples[:2]),
            ]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines)

    def _value(self, part: Node) -> str:
        """What may stand there."""
        if "enum" in part:
            return " or ".join(f"`{word}`" for word in cast("list[object]", part["enum"]))
        if "title" in part:
            return str(part["title"])
        kind = part.get("type")
        if kind == "integer":
            return _range(part)
        if kind == "array":
            return f"list of {self._items(cast('Node', part.get('items', {})))}"
        if kind == "object" and isinstance(part.get("additionalProperties"), dict):
            others = self._resolved(cast("Node", part["additionalProperties"]))
            return f"names, each with {self._items(others)}"
        words = {
            "boolean": "`true` or `false`",
            "string": "text",
            "object": "keys: see below",
            "None": "anything",
        }
        return words.get(str(kind), "text")

    def _items(self, node: Node) -> str:
        node = self._resolved(node)
        value = self._value(node)
        return "texts" if value == "text" else value.replace("whole number", "whole numbers")


def _range(part: Node) -> str:
    low, high = part.get("minimum"), part.get("maximum")
    return f"whole number, {low} to {high}" if high is not None else f"whole number from {low}"


def _code(value: object) -> str:
    return f"`{flow(value)}`"
