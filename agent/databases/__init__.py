"""The databases that SQL sources read: one file per way to read one; `READERS` joins scheme and code.

postgres     PostgreSQL through ADBC: Arrow batches out of one COPY, in one read-only transaction
sqlite       SQLite through ADBC; a look at the query before it is run, because SQLite has no types
others       MySQL, MariaDB, SQL Server, Oracle through SQLAlchemy and a cursor on the server's side

Drivers are imported when a job needs them. Everything here blocks and belongs into the thread of a run.
"""

from __future__ import annotations

from agent.databases.known import READERS, KnownDatabases

__all__ = ["READERS", "KnownDatabases"]
