"""Ranges of cells of a sheet, as a person writes them: `B3:F200`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d{1,7}):\$?([A-Za-z]{1,3})\$?(\d{1,7})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """Rows and columns from 0; the last ones are in it."""

    top: int
    left: int
    bottom: int
    right: int


def read_cells(text: str) -> Cells | None:
    """None for what is no range."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None
    left, top, right, bottom = match.groups()
    found = Cells(top=int(top) - 1, left=_column(left), bottom=int(bottom) - 1, right=_column(right))
    return found if found.top >= 0 and found.bottom >= 0 else None


def trouble_of(text: str) -> tuple[str, str] | None:
    """What is wrong with a range: (message, hint); None when nothing is."""
    found = read_cells(text)
    if found is None:
        return f"{text!r} is no range of cells", "write the first and the last cell, as in B3:F200"
    if found.top >= found.bottom or found.left > found.right:
        return f"{text} holds no record", "its first row is that of the column names; the records are below"
    return None


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
