"""A row of `messages` → a message, by the slot: what a lane reads is read for every message.

The `__init__` of a frozen class sets each field through `object.__setattr__`: that took five times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields

from agent.message import Message
from agent.spool.database import Row
from agent.spool.tables import messages

_AT = {column.name: at for at, column in enumerate(messages.columns)}
_SLOTS = {
    field.name: vars(owner)[field.name].__set__
    for owner in Message.__mro__[:-1]
    for field in fields(owner)
    if field.name in vars(owner)
}
_FILL = tuple(
    (_SLOTS[name], _AT[name]) for name in _SLOTS if name in _AT and name not in {"headers", "record_keys"}
)
_USUAL = tuple((_SLOTS[field.name], field.default) for field in fields(Message) if field.name not in _AT)
_IF_NULL = tuple(
    (_SLOTS[field.name], _AT[field.name], field.default)
    for field in fields(Message)
    if field.name in _AT and messages.columns[field.name].nullable and field.default not in {MISSING, None}
)
_SET_HEADERS = _SLOTS["headers"]
_SET_KEYS, _KEYS = _SLOTS["record_keys"], _AT["record_keys"]


def message_of(row: Row, headers: Mapping[str, str]) -> Message:
    """The row's columns in the order of the table; `headers` are what its text says.

    A NULL where the field has another default is that default.
    """
    message = object.__new__(Message)
    for fill, at in _FILL:
        fill(message, row[at])
    for fill, usual in _USUAL:
        fill(message, usual)
    for fill, at, usual in _IF_NULL:
        if row[at] is None:
            fill(message, usual)
    _SET_HEADERS(message, headers)
    _SET_KEYS(message, row[_KEYS] or b"")
    return message


assert all(value is not MISSING for _, value in _USUAL), "a field of a message has neither column nor default"
