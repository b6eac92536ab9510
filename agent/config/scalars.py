"""What a plain (unquoted) YAML text means: YAML 1.2's core types, and 1.1's traps kept apart.

YAML 1.1 reads `012` as 10, `1:30` as 90, `no` as false and `2024-01-01` as a date. Nothing of this
is guessed here: such a text becomes a `Trap`, which is wrong wherever it could be misunderstood.
"""

from __future__ import annotations

import re

from agent.config.model import JsonScalar

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_WORDS = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false"})
_YES = frozenset({"yes", "on", "y", "true"})
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+(?:\.[0-9_]*)?")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?:\.[0-9]*)?[ \t]*"
    r"(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?)?)?"
)
_OTHER_NUMBER = re.compile(r"[-+]?(?:0x[0-9A-Fa-f_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?)")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# Numbers of more digits lose some on their way through other programs (64-bit integers).
_MOST_DIGITS = 18


class Trap(str):
    """A plain text that YAML readers disagree about; itself as text, with the reason."""

    __slots__ = ("hint", "why")

    why: str
    hint: str

    @classmethod
    def of(cls, text: str, why: str, hint: str = "") -> Trap:
        """The text as a trap; the usual hint is to quote it."""
        trap = cls(text)
        trap.why = why
        trap.hint = hint or f'put it in quotes: "{text}"'
        return trap


def meaning(text: str) -> JsonScalar:
    """The value of a plain scalar; a `Trap` (a str) where YAML 1.1 and 1.2 disagree."""
    if text in _NULLS:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if text.lower() in _WORDS:
        value = "true" if text.lower() in _YES else "false"
        hint = f'write {value}, or put it in quotes if you mean the text: "{text}"'
        return Trap.of(text, f"{text} without quotes may mean {value}", hint)
    if text[0] in "+-.0123456789":
        return _number(text)
    return text


def _number(text: str) -> JsonScalar:
    if _INT.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            return Trap.of(text, f"{_short(text)} has too many digits for a number")
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in {float("inf"), float("-inf")}:
            return Trap.of(text, f"{_short(text)} is too large for a number")
        return number
    for pattern, why in _TRAPS:
        if pattern.fullmatch(text):
            return Trap.of(text, why.format(_short(text)))
    return text


_TRAPS = (
    (_LEADING_ZERO, "{} without quotes may mean an octal number"),
    (_DATE, "{} without quotes may mean a date"),
    (_BASE_60, "{} without quotes may mean a number to base 60"),
    (_OTHER_NUMBER, "{} without quotes may mean another number"),
    (_SPECIAL_FLOAT, "{} is no number that JSON knows"),
)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - fits a line
