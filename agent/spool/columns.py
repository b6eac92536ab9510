"""Plain columns that every database has, for `tables`."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, Text
from sqlalchemy.types import BigInteger

# SQLite numbers rows only in a column whose type is exactly INTEGER.
BIG = BigInteger().with_variant(Integer(), "sqlite")


def a_text(name: str, default: str | None = None) -> Column[str]:
    """Never NULL."""
    return Column(name, Text, nullable=False, server_default=default)


def a_number(name: str) -> Column[int]:
    """Never NULL; 0 where nothing is said."""
    return Column(name, BIG, nullable=False, server_default="0")


def a_time(name: str, *, nullable: bool = False) -> Column[float]:
    """Seconds since 1970."""
    return Column(name, Float, nullable=nullable)


def an_id() -> Column[int]:
    """Numbered by the database."""
    return Column("id", BIG, primary_key=True, autoincrement=True)


def a_key(name: str) -> Column[str]:
    """A text that is the key of its table, or a part of it."""
    return Column(name, Text, primary_key=True, nullable=False)
