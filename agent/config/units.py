"""Durations, sizes and rates as people write them. Pure.

    200ms 30s 5m 2h 1d      512KB 1MB (powers of 1000)  1MiB 1GiB (powers of 1024)      10/s 600/m 36000/h

There is no zero that means "none", and no number without its unit.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)/(s|m|h)")
_LOOSE = re.compile(r"\s*([0-9]+(?:[.,][0-9]+)?)\s*([A-Za-z/ ]*?)\s*")

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
# Ten years: longer ones are typing errors, and far longer ones overflow a date.
_LONGEST = 3660 * 86400.0
_MOST_BYTES = 2**60

_WORDS: Final = {
    "ms": "ms msec msecs millisecond milliseconds",
    "s": "s sec secs second seconds",
    "m": "m min mins minute minutes",
    "h": "h hr hrs hour hours",
    "d": "d day days",
}
_UNIT_OF: Final = {word: unit for unit, words in _WORDS.items() for word in words.split()}
_SIZE_OF: Final = {unit.lower(): unit for unit in _BYTES} | {"k": "KB", "m": "MB", "g": "GB", "t": "TB"}


class UnitError(ValueError):
    """A text that is no duration, size or rate; `hint` says how to write it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def parse_duration(text: str) -> timedelta:
    """`200ms 30s 5m 2h 1d`; zero is a duration. Raises UnitError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UnitError(f'"{text}" is no duration such as 30s, 5m or 2h', duration_hint(text))
    seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds > _LONGEST:
        raise UnitError(f'"{text}" is longer than ten years')
    return timedelta(seconds=seconds)


def parse_size(text: str) -> int:
    """`512KB 1MB 1GiB` in bytes. Raises UnitError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UnitError(f'"{text}" is no size such as 512KB, 1MB or 1GiB', size_hint(text))
    size = round(float(found[1]) * _BYTES[found[2]])
    if size < 1:
        raise UnitError(f'"{text}" is less than one byte')
    if size > _MOST_BYTES:
        raise UnitError(f'"{text}" is larger than any disk')
    return size


def parse_rate(text: str) -> float:
    """`10/s 600/m 36000/h` in 1/s. Raises UnitError."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise UnitError(f'"{text}" is no rate such as 10/s or 600/m', rate_hint(text))
    rate = float(found[1]) / _SECONDS[found[2]]
    if rate <= 0:
        raise UnitError(f'"{text}" would never let anything through')
    return rate


def duration_hint(text: str) -> str:
    """How to write what was probably meant; empty when nobody knows."""
    found = _LOOSE.fullmatch(text)
    if found is None:
        return ""
    if not found[2]:
        return f"say of what: {_digits(found[1])}s, {_digits(found[1])}m or {_digits(found[1])}h"
    unit = _UNIT_OF.get(found[2].lower())
    return f"write {_digits(found[1])}{unit}" if unit and float(_digits(found[1])) else ""


def size_hint(text: str) -> str:
    """How to write what was probably meant; empty when nobody knows."""
    found = _LOOSE.fullmatch(text)
    if found is None:
        return ""
    if not found[2]:
        return f"say of what: {_digits(found[1])}B, {_digits(found[1])}KB or {_digits(found[1])}MB"
    unit = _SIZE_OF.get(found[2].lower())
    return f"write {_digits(found[1])}{unit}" if unit and float(_digits(found[1])) else ""


def rate_hint(text: str) -> str:
    """How to write what was probably meant; empty when nobody knows."""
    found = _LOOSE.fullmatch(text)
    if found is None:
        return ""
    if not found[2]:
        return f"say in what time: {_digits(found[1])}/s or {_digits(found[1])}/m"
    unit = _UNIT_OF.get(found[2].lower().removeprefix("/").removeprefix("per").strip())
    return f"write {_digits(found[1])}/{unit}" if unit in {"s", "m", "h"} and float(_digits(found[1])) else ""


def _digits(text: str) -> str:
    return text.replace(",", ".")
