"""New state databases, copied instead of made step by step: it saves each test a twentieth of a second of CPU."""

from __future__ import annotations

from pathlib import Path

from agent.spool.migrations import HEAD, upgrade


class Copies:
    """The first new database is made by the migrations; the others are its copies, byte for byte."""

    def __init__(self):
        self._first = b""

    def upgrade(self, database: Path, version: str = HEAD) -> None:
        """What `migrations.upgrade` does, which it is for all that is no empty file."""
        new = version == HEAD and database.stat().st_size == 0
        if new and self._first:
            database.write_bytes(self._first)
            return
        upgrade(database, version)
        if new and not database.with_name(database.name + "-wal").exists():
            self._first = database.read_bytes()
