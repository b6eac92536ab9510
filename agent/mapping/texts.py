"""A value as plain text, for formats whose values have no types: XML and CSV."""

from __future__ import annotations

from agent.config.model import JsonScalar
from agent.mapping import json
from agent.mapping.sql import SqlType

NESTED = frozenset(["struct", "tuple", "list", "array", "map"])
SAFE = json.PLAIN | json.NAIVE | {"double", "float", "timestamp with time zone", "date", "blob"}
"""Types whose text holds letters, digits and `+-.:=/` only: nothing that a format would escape."""


def constant(value: JsonScalar) -> str:
    """A constant of the map as text; null is the empty text."""
    if value is None or isinstance(value, str):
        return value or ""
    text = json.constant(value)
    return "" if text == "null" else text


def is_null(value: JsonScalar) -> bool:
    """Whether a constant is null, as it is in JSON: infinities are."""
    return json.constant(value) == "null"


def text(value: str, type_: SqlType, *, drop: bool) -> str:  # noqa: PLR0911 - a table of types
    """SQL of the text of a value, not yet escaped; NULL where it is null.

    A nested value is its JSON text, from which `drop` leaves out keys that are null.
    """
    kind = type_.kind
    if kind in NESTED:
        return json.value_text(value, type_, drop=drop)
    if kind == "json":
        return _unpacked(value, drop=drop)
    if kind in ("varchar", "enum"):
        return f"CAST({value} AS VARCHAR)"
    if kind == "timestamp with time zone":
        return f"__rfc3339({value})"
    if kind == "blob":
        return f"to_base64({value})"
    if kind in json.NAIVE:
        return f"__naive({value})"
    if kind == "date":
        return f"CASE WHEN isfinite({value}) THEN CAST({value} AS VARCHAR) END"
    if kind in json.PLAIN or kind in ("null", "double", "float"):
        return json.value_text(value, type_, drop=drop)
    return f"CAST({value} AS VARCHAR)"


def _unpacked(value: str, *, drop: bool) -> str:
    """A JSON text becomes its text without quotes; numbers keep their digits, nested ones stay JSON."""
    written = json.value_text(value, SqlType(kind="json"), drop=drop)
    return (
        f"CASE WHEN starts_with(ltrim(CAST({value} AS VARCHAR), e' \\t\\r\\n'), '\"') "
        f"THEN json_extract_string({value}, '$') ELSE nullif({written}, 'null') END"
    )
