"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a socket and on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

PASSWORD = "s3cr3t/of the:cluster"


@dataclass(frozen=True)
class Postgres:
    """A running cluster. Everybody may sign in over the socket; over TCP with the password."""

    folder: Path
    port: int
    binaries: Path
    user: str | None

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.folder}&port={self.port}"

    @property
    def tcp(self) -> str:
        return f"postgresql://127.0.0.1:{self.port}/postgres"

    def run(self, sql: str) -> None:
        with self.open() as con:
            con.execute(sql)

    def open(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname="postgres", autocommit=True
        )

    def control(self, *words: str) -> None:
        run_as(self.user, [self.binaries / "pg_ctl", "-D", self.folder / "data", "-w", *words])


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def run_as(user: str | None, words: list[object]) -> None:
    """PostgreSQL does not run as root."""
    who = {"user": user, "group": user, "extra_groups": []} if user else {}
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=50, cwd="/", **who)


@contextmanager
def cluster() -> Iterator[Postgres]:
    programs = binaries()
    assert programs is not None
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pa-pg-", dir="/tmp"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = folder / "password"
    secret.write_text(PASSWORD)
    if user:
        for path in (folder, secret):
            os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    try:
        data = folder / "data"
        auth = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"]
        run_as(user, [programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--no-sync", *auth])
        postgres = Postgres(folder, port, programs, user)
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        )
        postgres.control("-l", str(folder / "log"), "-o", options, "start")
        try:
            yield postgres
        finally:
            postgres.control("-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
