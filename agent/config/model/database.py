"""Databases that SQL sources read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from agent.config.model.place import SecretRef, Where


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """A connection of `type: database`."""

    name: str
    url: str
    """Never with a password in it."""
    username: SecretRef | str | None = None
    password: SecretRef | None = None
    timeout: timedelta = timedelta(seconds=10)
    """For connecting."""
    statement_timeout: timedelta = timedelta(minutes=10)
    """For one query, from its start to its last row."""
    read_only: bool = True
    """Whether the transaction that a query runs in is told that it only reads."""
    where: Where = field(compare=False)

    @property
    def kind(self) -> str:
        """The first word of the URL's scheme: `postgresql`, `sqlite`, `mysql`, `mssql`, `oracle`."""
        return self.url.partition(":")[0].partition("+")[0].lower()
