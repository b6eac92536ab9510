"""JSON values as YAML that our own reader takes back as the same values. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from agent.config.scalars import Trap, meaning
from agent.message import JsonValue

WIDTH = 100
"""Characters up to which a list or a mapping stands in one line."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(?: [A-Za-z0-9_.-]+)*")
# What may stand in a YAML file as it is, in quotes; all else is escaped.
_ESCAPED = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_MOST_DIGITS = 18
_SHORT_ESCAPE = 0xFFFF


def writable(value: JsonValue) -> bool:
    """Whether a scalar can stand in a YAML file as what it is."""
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or len(str(value)) <= _MOST_DIGITS


def flow(value: JsonValue) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key_text(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(part) for part in value) + "]"
    return scalar(value)


def block(value: JsonValue, indent: int) -> Iterator[str]:
    """A value in lines, each with its indentation; short lists and mappings in one line."""
    pad = " " * indent
    if not isinstance(value, dict | list) or not value or len(flow(value)) + indent <= WIDTH:
        yield pad + flow(value)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _under(f"{pad}{key_text(key)}:", part, indent + 2)
    else:
        for part in value:
            first, *rest = block(part, indent + 2)
            yield f"{pad}- {first.lstrip()}"
            yield from rest


def _under(head: str, value: JsonValue, indent: int) -> Iterator[str]:
    lines = list(block(value, indent))
    if lines == [" " * indent + flow(value)]:  # a key or a `- ` alone in its line cannot stand behind another
        yield f"{head} {flow(value)}"
    else:
        yield head
        yield from lines


def scalar(value: JsonValue) -> str:
    """A text, a number, true, false or null."""
    if not isinstance(value, str):
        return json.dumps(value)
    found = meaning(value) if value else None
    if _PLAIN.fullmatch(value) and isinstance(found, str) and not isinstance(found, Trap):
        return value
    return quoted(value)


def key_text(key: str) -> str:
    """A key: always a text, so it needs no quotes for what it could mean."""
    return key if _KEY.fullmatch(key) else quoted(key)


def quoted(text: str) -> str:
    """In double quotes."""
    return _ESCAPED.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code <= _SHORT_ESCAPE else f"\\U{code:08x}"


def text_block(text: str, indent: int) -> list[str]:
    """A text of lines below a key: what follows `key: `, and the lines below it."""
    lines = text.split("\n")
    fits = (
        text.strip("\n")
        and text.endswith("\n")
        and not text.endswith("\n\n")
        and not any(_ESCAPED.search(one) for one in lines)
    )
    if not fits or any(line.startswith((" ", "\t")) for line in lines):
        return [quoted(text)]
    return ["|", *(" " * indent + line if line else "" for line in lines[:-1])]
