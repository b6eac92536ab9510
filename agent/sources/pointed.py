"""Where in a JSON text something stands (JSON pointer, RFC 6901), without making objects of the text.

The text is never parsed as a whole: what lies beside the way is skipped by one regular expression, which
needs neither Python for each record nor memory for them.
"""

from __future__ import annotations

import json
import mmap
import re
from codecs import BOM_UTF8
from functools import cache
from pathlib import Path

from agent.errors import SourceError

DEEPEST = 64
"""Levels of brackets below a place."""
LONGEST_VALUE = 65_536
"""Bytes of a value that is read: a URL, a cursor."""
HELD = 8_000_000
"""Bytes of the text that are held in memory, unless one value is longer."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_BLANK = re.compile(rb"[ \t\r\n]*+")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_NAME = re.compile(_STRING, re.DOTALL)

Span = tuple[int, int]


@cache
def _value() -> re.Pattern[bytes]:
    """A value that is no array or object, from its first byte to its last."""
    return re.compile(_STRING + rb'|[^\[\]{}",: \t\r\n]++', re.DOTALL)


@cache
def _some() -> re.Pattern[bytes]:
    """Some of what stands in an array or object. Possessive all through: it never looks back."""
    inner = rb'(?:[^\[\]{}"]++|' + _STRING + rb")*+"
    for _ in range(DEEPEST - 1):
        inner = rb'(?:[^\[\]{}"]++|' + _STRING + rb"|[\[{]" + inner + rb"[\]}])*+"
    return re.compile(rb'(?:[^\[\]{}"]++|' + _STRING + rb"|[\[{]" + inner + rb"[\]}]){1,100}+", re.DOTALL)


def span_of(path: Path, pointer: str, name: str) -> Span | None:
    """From where to where it stands; None when there is no such place.

    `name` is the text's name for people. Raises SourceError for what is no JSON on the way there.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return _walked(text, pointer, name)


def value_at(path: Path, pointer: str, name: str) -> object:
    """A short value; None where there is none. Raises SourceError."""
    span = span_of(path, pointer, name)
    if span is None:
        return None
    with path.open("rb") as file:
        file.seek(span[0])
        text = file.read(min(span[1] - span[0], LONGEST_VALUE + 1))
    if len(text) > LONGEST_VALUE:
        raise SourceError(f"{name}: what stands at {pointer} is longer than {LONGEST_VALUE} bytes")
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise SourceError(f"{name}: what stands at {pointer} is no JSON") from error
    return value


def _walked(text: mmap.mmap, pointer: str, name: str) -> Span | None:
    at = _skip(text, len(BOM_UTF8) if text[:3] == BOM_UTF8 else 0)
    for word in pointer.split("/")[1:]:
        # In this order: `~01` is the key `~1`, not a slash.
        found = _below(text, at, word.replace("~1", "/").replace("~0", "~"), name)
        if found is None:
            return None
        at = found
    return at, _end(text, at, name)


def _end(text: mmap.mmap, at: int, name: str) -> int:
    """Behind the value that begins here."""
    if text[at : at + 1] in {b"[", b"{"}:
        end = _inside(text, at + 1)
        if text[end : end + 1] in {b"]", b"}"}:
            return end + 1
    elif (found := _value().match(text, at)) is not None:
        return found.end()
    raise SourceError(f"{name}: not valid JSON at byte {at + 1}", hint=f"or more than {DEEPEST} levels")


def _inside(text: mmap.mmap, at: int) -> int:
    """Where an array or object ends, from behind its bracket. What was read is memory until it is let go."""
    held = 0
    while (found := _some().match(text, at)) is not None:
        at = found.end()
        if at - held > HELD:
            held = at - at % mmap.PAGESIZE
            text.madvise(mmap.MADV_DONTNEED, 0, held)
    return at


def _skip(text: mmap.mmap, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()


def _below(text: mmap.mmap, at: int, key: str, name: str) -> int | None:
    first = text[at : at + 1]
    if first == b"{":
        return _member(text, at, key, name)
    if first == b"[" and _INDEX.fullmatch(key):
        return _item(text, at, int(key), name)
    return None


def _member(text: mmap.mmap, at: int, key: str, name: str) -> int | None:
    """Where its value begins. Of two members with one name the first counts: nothing behind it is read."""
    at = _skip(text, at + 1)
    while text[at : at + 1] != b"}":
        named = _NAME.match(text, at)
        at = _skip(text, named.end()) if named else at
        if named is None or text[at : at + 1] != b":":
            raise SourceError(f"{name}: not valid JSON at byte {at + 1}")
        at = _skip(text, at + 1)
        if _same(named.group(), key):
            return at
        at = _next(text, _end(text, at, name), b"}", name)
    return None


def _item(text: mmap.mmap, at: int, index: int, name: str) -> int | None:
    at = _skip(text, at + 1)
    while text[at : at + 1] != b"]":
        if not index:
            return at
        index -= 1
        at = _next(text, _end(text, at, name), b"]", name)
    return None


def _next(text: mmap.mmap, at: int, end: bytes, name: str) -> int:
    """Behind the comma, or at the end."""
    at = _skip(text, at)
    if text[at : at + 1] == b",":
        return _skip(text, at + 1)
    if text[at : at + 1] == end:
        return at
    raise SourceError(f"{name}: not valid JSON at byte {at + 1}")


def _same(named: bytes, key: str) -> bool:
    try:
        return bool(json.loads(named) == key)
    except ValueError:
        return False
