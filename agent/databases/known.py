"""The databases of a plan, and the way to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Final, Protocol, cast

from agent.config import SecretStore
from agent.config.model import Database, SecretRef
from agent.databases.values import SignIn
from agent.errors import SourceError
from agent.sources.asking import Answer, Question

READERS: Final = {
    "postgresql": "agent.databases.postgres",
    "sqlite": "agent.databases.sqlite",
    "mysql+pymysql": "agent.databases.others",
    "mariadb+pymysql": "agent.databases.others",
    "mssql+pymssql": "agent.databases.others",
    "oracle+oracledb": "agent.databases.others",
}
"""Scheme of the URL → the module with its `ask(database, sign_in, question)`."""


class _Reader(Protocol):
    def ask(self, database: Database, sign_in: SignIn, question: Question) -> Iterator[Answer]: ...


class KnownDatabases:
    """Implements `agent.sources.asking.Databases`. A database that was changed counts at the next query."""

    def __init__(self, secrets: SecretStore, databases: Mapping[str, Database] | None = None) -> None:
        self._secrets = secrets
        self._databases: Mapping[str, Database] = databases or {}

    def set(self, databases: Mapping[str, Database]) -> None:
        """From now on these."""
        self._databases = dict(databases)

    @contextmanager
    def ask(self, connection: str, question: Question) -> Iterator[Answer]:
        """See `Databases.ask`."""
        database = self._databases.get(connection)
        if database is None:
            raise SourceError(f"there is no database {connection}", hint="see connections/*.yaml")
        sign_in = SignIn(
            username=self._value(database.username) or "", password=self._value(database.password) or ""
        )
        reader = cast("_Reader", import_module(READERS[database.url.partition("://")[0]]))
        yield from reader.ask(database, sign_in, question)

    def _value(self, ref: SecretRef | str | None) -> str | None:
        return self._secrets.resolve(ref).reveal() if isinstance(ref, SecretRef) else ref
