from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.mariadb import PASSWORD as MARIA_PASSWORD
from tests.support.mariadb import MariaDb, mariadb, server
from tests.support.postgres import Postgres, binaries, cluster
from tests.support.querying import Place, database, secret


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no PostgreSQL: apt-get install postgresql")
        pytest.skip("needs PostgreSQL (apt-get install postgresql)")
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def maria() -> Iterator[MariaDb]:
    if server() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no MariaDB: apt-get install mariadb-server")
        pytest.skip("needs MariaDB (apt-get install mariadb-server)")
    with mariadb() as running:
        yield running


@dataclass
class Table:
    """A table that both kinds of databases have, under the same statements."""

    kind: str
    url: str
    path: Path
    postgres: Postgres | None = None
    maria: MariaDb | None = None

    def run(self, *statements: str) -> None:
        if self.postgres is not None:
            with self.postgres.open() as con:
                for statement in statements:
                    con.execute(statement)
            return
        if self.maria is not None:
            self.maria.run(*statements)
            return
        with sqlite3.connect(self.path) as con:
            for statement in statements:
                con.execute(statement)
        con.close()

    def fill(self, count: int, start: int = 1, group: int = 1) -> None:
        """Rows `start` …, of which `group` have the same `grp`."""
        if self.maria is not None:
            rows = f"SELECT seq, seq DIV {group}, concat('n', seq) FROM seq_{start}_to_{start + count - 1}"
            table = "CREATE TABLE IF NOT EXISTS t (id bigint, grp bigint, name longtext)"
            self.run(table, f"INSERT INTO t {rows}")
            return
        self.run(
            "CREATE TABLE IF NOT EXISTS t (id bigint, grp bigint, name text)",
            f"WITH RECURSIVE n(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i < {start + count - 1}) "
            f"INSERT INTO t SELECT i, i / {group}, 'n' || i FROM n",
        )


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def table(request, tmp_path: Path) -> Table:
    if request.param == "sqlite":
        path = tmp_path / "data.db"
        sqlite3.connect(path).close()
        return Table("sqlite", f"sqlite:///{path}", path)
    if request.param == "mariadb":
        maria = request.getfixturevalue("maria")
        maria.run("DROP DATABASE IF EXISTS test", "CREATE DATABASE test")
        return Table("mariadb", maria.url, tmp_path, maria=maria)
    postgres = request.getfixturevalue("postgres")
    postgres.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return Table("postgresql", postgres.url, tmp_path, postgres)


@pytest.fixture
def place(table: Table, tmp_path: Path) -> Iterator[Place]:
    made = place_of(table, tmp_path)
    yield made
    made.close()


def place_of(table: Table, folder: Path, **more) -> Place:
    secrets = folder / "config" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    (secrets / "password").write_text(MARIA_PASSWORD)
    (secrets / "password").chmod(0o600)
    of_maria = {"username": "agent", "password": secret("password")} if table.maria else {}
    return Place(folder / "state", database(table.url, **of_maria), secrets=folder / "config", **more)
