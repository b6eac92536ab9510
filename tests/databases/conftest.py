from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.postgres import Postgres, binaries, cluster
from tests.support.querying import Place, database


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no PostgreSQL: apt-get install postgresql")
        pytest.skip("needs PostgreSQL (apt-get install postgresql)")
    with cluster() as running:
        yield running


@dataclass
class Table:
    """A table that both kinds of databases have, under the same statements."""

    kind: str
    url: str
    path: Path
    postgres: Postgres | None

    def run(self, *statements: str) -> None:
        if self.postgres is not None:
            with self.postgres.open() as con:
                for statement in statements:
                    con.execute(statement)
            return
        with sqlite3.connect(self.path) as con:
            for statement in statements:
                con.execute(statement)
        con.close()

    def fill(self, count: int, start: int = 1, group: int = 1) -> None:
        """Rows `start` …, of which `group` have the same `grp`."""
        self.run(
            "CREATE TABLE IF NOT EXISTS t (id bigint, grp bigint, name text)",
            f"WITH RECURSIVE n(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i < {start + count - 1}) "
            f"INSERT INTO t SELECT i, i / {group}, 'n' || i FROM n",
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def table(request, tmp_path: Path) -> Table:
    if request.param == "sqlite":
        path = tmp_path / "data.db"
        sqlite3.connect(path).close()
        return Table("sqlite", f"sqlite:///{path}", path, None)
    postgres = request.getfixturevalue("postgres")
    postgres.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return Table("postgresql", postgres.url, tmp_path, postgres)


@pytest.fixture
def place(table: Table, tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "state", database(table.url))
    yield made
    made.close()
