"""Cron texts as Debian reads them, checked in words. Pure; when they happen is the schedule's matter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIVE = "write minute, hour, day of month, month and day of week, such as 0 5 * * 1-5"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0
    """The number of the first name."""


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, tuple(_MONTHS), 1),
    _Field("day of week", 0, 7, tuple(_DAYS), 0),
)
_ITEM = re.compile(r"(\*|[0-9]{1,4}|[A-Za-z]{3})(?:-([0-9]{1,4}|[A-Za-z]{3}))?(?:/([0-9]{1,4}))?")


@lru_cache(maxsize=1024)
def cron_trouble(text: str) -> tuple[str, str] | None:
    """What is wrong and a hint; None for a text that cron would take."""
    if not text.isascii() or not text.isprintable():
        return "the cron text holds a character that does not belong there", _FIVE
    if text.strip().startswith("@"):
        same = _MACROS.get(text.strip().lower())
        return f"{text.strip()} is not supported", f'write "{same}"' if same else _FIVE
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return f"a cron text has five fields, this has {len(parts)}", _FIVE
    for field, part in zip(_FIELDS, parts, strict=True):
        wrong = _field_trouble(field, part)
        if wrong:
            return f"the {field.name} {part} is wrong: {wrong}", _range_hint(field)
    return _never(parts)


def _field_trouble(field: _Field, part: str) -> str:
    for item in part.split(","):
        if wrong := _item_trouble(field, item):
            return wrong
    return ""


def _item_trouble(field: _Field, item: str) -> str:  # noqa: PLR0911 - one for each mistake
    found = _ITEM.fullmatch(item)
    if found is None:
        return f'"{item}" is not understood' if item else "there is a comma too many"
    start, end, step = found.groups()
    if start == "*":
        low, high = field.low, field.high
        if end:
            return "a range has numbers on both sides"
    else:
        first, last = _number(field, start), _number(field, end or start)
        if first is None or last is None:
            return f"{start if first is None else end} is not from {field.low} to {field.high}"
        low, high = first, last
        if step and not end:
            return "a step (/) needs a range or * before it"
    if low > high:
        return "the range ends before it begins"
    if step and not 1 <= int(step) <= field.high:
        return f"the step {step} is not from 1 to {field.high}"
    return ""


def _number(field: _Field, text: str) -> int | None:
    if text.isdecimal():
        number = int(text)
        return number if field.low <= number <= field.high else None
    name = text.lower()
    return field.names.index(name) + field.first if name in field.names else None


def _range_hint(field: _Field) -> str:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return f"{field.low} to {field.high}{names}; lists 1,2 ranges 1-5 and steps */5 are possible"


def _never(parts: list[str]) -> tuple[str, str] | None:
    """Days that none of the months has, when no day of the week helps out."""
    _, _, day, month, week = parts
    if week != "*" or not day.isdecimal() or month == "*":
        return None
    months = [_number(_FIELDS[3], item) for item in month.split(",") if _ITEM.fullmatch(item)]
    if any(number is None for number in months) or "-" in month or "/" in month:
        return None
    if all(int(day) > _LONGEST_MONTH[number - 1] for number in months if number):
        return f"there is no day {day} in month {month}, so this would never run", "choose another day"
    return None
