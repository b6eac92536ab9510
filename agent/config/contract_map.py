"""Whether a map can make documents that fulfil a JSON Schema, as far as that can be known beforehand.

Only what would go wrong for *every* record is told: a key that the schema wants and the map has not, a key
that it does not allow, a constant that it refuses, an expression of a type that it does not take. Where a
schema branches (`anyOf`, `if`, …) nothing is known.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from agent.config.model import Constant, Contract, Expr, MapList, MapNode, MapObject
from agent.contracts import refusal

Steps: TypeAlias = "tuple[str | int, ...]"

_DEEPEST = 64
_OF_CONSTANTS: Final = (
    *("type", "enum", "const", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Misfit:
    """One thing that would be wrong with every document."""

    steps: Steps
    """From the root of the map."""
    message: str
    hint: str = ""
    expr: Expr | None = None
    """Where an expression is the reason."""


def misfits(
    contract: Contract, tree: MapNode, *, drop: bool, types: Mapping[str, frozenset[str]]
) -> Iterator[Misfit]:
    """What of a map cannot fulfil the schema. `types`: SQL of an expression → the JSON types it can have."""
    if contract.kind != "json":
        return
    schema = json.loads(contract.files[0].text.decode("utf-8-sig"))
    name = contract.files[0].path.rpartition("/")[2]
    yield from _Walk(schema, name, types, drop=drop).node(schema, tree, (), 0)


class _Walk:
    def __init__(
        self,
        root: object,
        name: str,
        types: Mapping[str, frozenset[str]],
        *,
        drop: bool,
    ) -> None:
        self._root = root
        self._name = name
        self._types = types
        self._drop = drop

    def node(self, schema: Any, node: MapNode, steps: Steps, depth: int) -> Iterator[Misfit]:  # noqa: ANN401
        """One place of the map against one place of the schema."""
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return
        if isinstance(schema.get("$ref"), str):
            yield from self.node(self._pointed(schema["$ref"]), node, steps, depth + 1)
        for part in schema.get("allOf", []):
            yield from self.node(part, node, steps, depth + 1)
        match node:
            case Constant(value=value):
                yield from self._constant(schema, value, steps)
            case Expr():
                yield from self._expression(schema, node, steps)
            case MapObject(items=pairs):
                yield from self._typed(schema, "object", "keys and values", steps)
                yield from self._object(schema, dict(pairs), steps, depth)
            case MapList(items=children):
                yield from self._typed(schema, "array", "a list", steps)
                for number, child in enumerate(children):
                    yield from self.node(schema.get("items"), child, (*steps, number), depth + 1)

    def _pointed(self, reference: str) -> Any:  # noqa: ANN401 - a piece of JSON
        """What a reference inside of the file names; True (anything goes) for all others."""
        if reference == "#":
            return self._root
        if not reference.startswith("#/"):
            return True
        found = self._root
        for step in reference.removeprefix("#/").split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                return True
            found = found[key]
        return found

    def _object(
        self, schema: dict[str, Any], pairs: Mapping[str, MapNode], steps: Steps, depth: int
    ) -> Iterator[Misfit]:
        known = schema.get("properties", {})
        for key in schema.get("required", []):
            if key not in pairs:
                yield Misfit(
                    steps=steps, message=f"{self._name} wants the key {key}, and it is not in the map"
                )
        patterns = schema.get("patternProperties", {})
        for key, child in pairs.items():
            if key in known:
                yield from self.node(known[key], child, (*steps, key), depth + 1)
            elif schema.get("additionalProperties") is False and not _matches(key, patterns):
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(list(known)[:20])}"
                yield Misfit(steps=(*steps, key), message=f"{self._name} has no key {key} here", hint=hint)

    def _typed(self, schema: dict[str, Any], kind: str, said: str, steps: Steps) -> Iterator[Misfit]:
        wanted = _wanted(schema)
        if wanted and kind not in wanted:
            yield Misfit(steps=steps, message=f"{self._name} wants {_listed(wanted)} here, this is {said}")

    def _constant(self, schema: dict[str, Any], value: object, steps: Steps) -> Iterator[Misfit]:
        if value is None and self._drop:
            return
        simple: dict[str, Any] = {
            key: schema[key]
            for key in _OF_CONSTANTS
            # in draft 4, exclusiveMinimum is true or false
            if key in schema and not isinstance(schema[key], bool)
        }
        if said := refusal(simple, value):
            yield Misfit(steps=steps, message=f"{self._name} refuses this: {said}")

    def _expression(self, schema: dict[str, Any], expr: Expr, steps: Steps) -> Iterator[Misfit]:
        wanted, has = _wanted(schema), self._types.get(expr.sql, frozenset())
        if not wanted or not has or wanted & has:
            return
        message = f"={expr.sql}: {self._name} wants {_listed(wanted)} here, this is {_listed(has)}"
        hint = "give the column its type (`types` of the source), or cast it: =CAST(… AS DOUBLE)"
        yield Misfit(steps=steps, message=message, hint=hint if "string" in has else "", expr=expr)


def _wanted(schema: dict[str, Any]) -> frozenset[str]:
    """The types that a schema names; a number may be a whole one."""
    kinds = schema.get("type", [])
    return frozenset([kinds] if isinstance(kinds, str) else kinds)


def _listed(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


def _matches(key: str, patterns: Mapping[str, object]) -> bool:
    return any(not refusal({"pattern": pattern}, key) for pattern in patterns)
