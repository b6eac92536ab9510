"""A MariaDB of the tests' own: a server in a temporary folder, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pymysql

PASSWORD = "m4ria/db s3cret"


@dataclass(frozen=True)
class MariaDb:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        return f"mysql+pymysql://127.0.0.1:{self.port}/test"

    def open(self) -> pymysql.Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="agent",
            password=PASSWORD,
            autocommit=True,
            connect_timeout=5,
        )

    def run(self, *statements: str) -> None:
        with self.open() as con, con.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS test")
            cursor.execute("USE test")
            for statement in statements:
                cursor.execute(statement)


def server() -> str | None:
    return shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def mariadb() -> Iterator[MariaDb]:
    program = server()
    assert program is not None
    user = "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="pa-my-", dir="/tmp"))
    shutil.chown(folder, user) if os.geteuid() == 0 else None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = folder / "start.sql"
    start.write_text(
        f"CREATE USER IF NOT EXISTS 'agent'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        "GRANT ALL ON *.* TO 'agent'@'127.0.0.1';\n"
    )
    start.chmod(0o644)
    common = ["--no-defaults", f"--datadir={folder}/data", f"--user={user}"]
    install = ["mariadb-install-db", *common, "--skip-test-db", "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, capture_output=True, timeout=55)
    log = (folder / "log").open("wb")
    running = subprocess.Popen(
        [program, *common, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s",
         f"--init-file={start}", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"],
        stdout=subprocess.DEVNULL, stderr=log,
    )  # fmt: skip
    try:
        made = MariaDb(port)
        for _ in range(400):
            with suppress(pymysql.err.OperationalError):
                made.run("SELECT 1")
                break
            assert running.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield made
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
