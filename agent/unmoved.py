"""A file that stays where it is although what it held was delivered or refused. Pure: spoken of by many."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class UnmovedFile:
    """It cannot be moved to its folder now; that is tried again, and nothing of it is sent again."""

    path: str
    reason: str
    hint: str = ""
    """What a person can do about it."""
