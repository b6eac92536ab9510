"""A PostgreSQL cluster in a temporary folder, gone with its `with`."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from tests.bench.data import COLUMNS, TABLE, lines
from tests.bench.processes import FailedError, command, free_port


class Postgres:
    """Listens on loopback; `url` leads to a database with the table `positions`."""

    def __init__(self, folder):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
        if not found:
            raise FailedError("no PostgreSQL on this machine (apt-get install postgresql)")
        self.bin, self.folder, self.port = found[-1].parent, folder / "postgres", free_port()
        self.url = f"postgresql://bench@127.0.0.1:{self.port}/postgres"
        # it refuses to run as root
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def __enter__(self):
        self.folder.mkdir()
        if os.geteuid() == 0:
            self.folder.parent.chmod(0o755)
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync")
        listen = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        self._run("pg_ctl", "-D", data, "-w", "-l", str(self.folder / "log"), "-o", listen, "start")
        return self

    def __exit__(self, *_):
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    def _run(self, name, *words):
        as_user = {"user": self.user} if os.geteuid() == 0 else {}
        command([str(self.bin / name), *words], cwd=self.folder, stdin=subprocess.DEVNULL, **as_user)

    def fill(self, count):
        """The table, with so many rows."""
        psql = [str(self.bin / "psql"), "-q", "-v", "ON_ERROR_STOP=1", self.url]
        copy = f"COPY positions ({', '.join(COLUMNS)}) FROM STDIN (FORMAT csv)"
        command([*psql, "-c", TABLE])
        with subprocess.Popen([*psql, "-c", copy], stdin=subprocess.PIPE, text=True) as loading:
            loading.stdin.writelines(lines(count))
        if loading.returncode:
            raise FailedError("psql could not fill the table")
        command([*psql, "-c", "VACUUM ANALYZE positions"])
