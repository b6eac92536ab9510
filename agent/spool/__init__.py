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

A message that was refused is taken apart in place: `part` makes receipts and dead letters of some of its
records and leaves the rest in the row (`agent.parts`).

How it holds: `thread` (group commit) over `database` (statements) over SQLite in WAL mode; `quota` keeps
room for acks; `opening`, `recover` and `migrations` make any state folder usable; `folder` locks it;
`Reader` looks from outside without writing a byte. SQLAlchemy and Alembic live in this package only.
"""

from __future__ import annotations

from agent.session_row import SessionRow
from agent.spool.database import DATABASE
from agent.spool.find import Trace
from agent.spool.letters import START, Before, LetterCount, Spot, Which
from agent.spool.pending import Pending
from agent.spool.reader import Reader
from agent.spool.revive import Revived
from agent.spool.spool import Spool
from agent.spool.values import (
    BackfillRow,
    BackfillState,
    Backlog,
    ConfigRow,
    Fallen,
    FileRow,
    FileState,
    Fit,
    JobOverview,
    LaneWait,
    Left,
    PauseRow,
    Recovered,
    RunRow,
    RunState,
    SettledFile,
    WindowMark,
)

__all__ = [
    "DATABASE",
    "START",
    "BackfillRow",
    "BackfillState",
    "Backlog",
    "Before",
    "ConfigRow",
    "Fallen",
    "FileRow",
    "FileState",
    "Fit",
    "JobOverview",
    "LaneWait",
    "Left",
    "LetterCount",
    "PauseRow",
    "Pending",
    "Reader",
    "Recovered",
    "Revived",
    "RunRow",
    "RunState",
    "SessionRow",
    "SettledFile",
    "Spool",
    "Spot",
    "Trace",
    "Which",
    "WindowMark",
]
