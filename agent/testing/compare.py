"""Two JSON values: where they differ. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from agent.message import JsonValue

MISSING = "(nothing)"
_PLAIN_KEY_BREAKERS = frozenset('.[]" ')


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One place."""

    path: str
    """`geoReference.lat`, `actors[1].roles`; empty: the whole."""
    expected: str
    """As text for people."""
    got: str


def differences(
    expected: JsonValue, got: JsonValue, *, exact: bool = False, path: str = ""
) -> Iterator[Difference]:
    """Where `got` is not what was expected.

    An object may hold more keys than expected, unless `exact`; a list has as many items as expected, in
    that order. 52 is 52.0, and true is not 1.
    """
    if isinstance(expected, dict) and isinstance(got, dict):
        yield from _objects(expected, got, exact=exact, path=path)
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield Difference(path=path, expected=_items(expected), got=_items(got))
        for number, (one, other) in enumerate(zip(expected, got, strict=False)):
            yield from differences(one, other, exact=exact, path=f"{path}[{number}]")
    elif isinstance(expected, bool) is not isinstance(got, bool) or expected != got:
        yield Difference(path=path, expected=shown(expected), got=shown(got))


def _objects(
    expected: dict[str, JsonValue], got: dict[str, JsonValue], *, exact: bool, path: str
) -> Iterator[Difference]:
    for key, value in expected.items():
        below = step(path, key)
        if key not in got:
            yield Difference(path=below, expected=shown(value), got=MISSING)
        else:
            yield from differences(value, got[key], exact=exact, path=below)
    for key in got if exact else ():
        if key not in expected:
            yield Difference(path=step(path, key), expected=MISSING, got=shown(got[key]))


def step(path: str, key: str) -> str:
    """One key deeper."""
    plain = key and key.isprintable() and not _PLAIN_KEY_BREAKERS & set(key)
    name = key if plain else json.dumps(key)
    return f"{path}.{name}" if path else name


def shown(value: JsonValue) -> str:
    """A value in one line."""
    return json.dumps(value, ensure_ascii=False)


def _items(items: list[JsonValue]) -> str:
    return f"a list of {len(items)}: {shown(items)}"
