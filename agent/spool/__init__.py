"""The spool: everything that must survive, in one database that one thread of one process owns.

The life of a message:

      source                                                              target
        │ read                                                              ▲
        ▼                                                                   │ attempt
    Draft ──append──▶ Message  ···held while its file is "reading"···▶ oldest(job, lane)
             │          │ key: made here, the same for ever                 │
    one transaction     │                                ┌─────────────────┼──────────────────┐
    with the cursor,    │                               ack              bury           note_attempt
    durable (FULL)      │                                ▼                 ▼             (stays; again later,
                        │                             Receipt         DeadLetter          with the same key)
                        │                                │                 │ revive: back, same key
                        └── nothing else removes it      └── prune         └── drop_dead: by a person's wish

How it holds: `thread` (group commit) over `database` (statements) over SQLite in WAL mode; `quota` keeps
room for acks; `opening`, `recover` and `migrations` make any state folder usable; `folder` locks it;
`Reader` looks from outside without writing a byte. SQLAlchemy and Alembic live in this package only.
"""

from __future__ import annotations

from agent.session_row import SessionRow
from agent.spool.find import Trace
from agent.spool.pending import Pending
from agent.spool.reader import Reader
from agent.spool.spool import Spool
from agent.spool.values import (
    BackfillRow,
    BackfillState,
    ConfigRow,
    FileRow,
    FileState,
    JobOverview,
    LaneWait,
    Recovered,
    RunRow,
    RunState,
    SettledFile,
    WindowMark,
)

__all__ = [
    "BackfillRow",
    "BackfillState",
    "ConfigRow",
    "FileRow",
    "FileState",
    "JobOverview",
    "LaneWait",
    "Pending",
    "Reader",
    "Recovered",
    "RunRow",
    "RunState",
    "SessionRow",
    "SettledFile",
    "Spool",
    "Trace",
    "WindowMark",
]
