"""How values become text for a person: sizes, ages, tables. Colours only on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click

_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000
_TEN = 10


def size(count: float) -> str:
    """1234567 → `1.2 MB`."""
    for unit in _UNITS:
        if count < _THOUSAND or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" or count >= _TEN else f"{count:.1f} {unit}"
        count /= _THOUSAND
    raise AssertionError


def age(seconds: float) -> str:
    """7384 → `2h 3m`; two units at most."""
    rest = max(0, int(seconds))
    words: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count or (unit == "s" and not words):
            words.append(f"{count}{unit}")
    return " ".join(words[:2])


def moment(text: str | None) -> str:
    """An RFC 3339 time of ours as local time; today's without the date."""
    if not text:
        return "-"
    local = datetime.fromisoformat(text).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> str:
    """Columns as wide as their widest cell; `right` are the columns of numbers."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([click.style(line(heads), bold=True), *[line(row) for row in rows]])


def good(text: str) -> str:
    """Green on a terminal."""
    return click.style(text, fg="green")


def bad(text: str) -> str:
    """Red on a terminal."""
    return click.style(text, fg="red")


def note(text: str) -> str:
    """Yellow on a terminal."""
    return click.style(text, fg="yellow")


def printable(text: str) -> str:
    """Line breaks stay; other control characters cannot play with the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
