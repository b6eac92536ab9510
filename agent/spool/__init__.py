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
`Outside` and `Reader` look from outside without writing a byte. SQLAlchemy and Alembic live in this package
only, and are imported with what needs them: `push-agent find` does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.session_row import SessionRow
    from agent.spool.folder import DATABASE
    from agent.spool.letters import START, Before, LetterCount, Spot, Which
    from agent.spool.outside import Outside
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
        Left,
        PauseRow,
        Recovered,
        RunRow,
        RunState,
        SettledFile,
        WindowMark,
    )
    from agent.trace import LaneWait, Trace

# where each name lives: its module is loaded when it is first asked for
_HOMES = {
    "SessionRow": "agent.session_row",
    "DATABASE": "agent.spool.folder",
    **dict.fromkeys(("START", "Before", "LetterCount", "Spot", "Which"), "agent.spool.letters"),
    "Outside": "agent.spool.outside",
    "Pending": "agent.spool.pending",
    "Reader": "agent.spool.reader",
    "Revived": "agent.spool.revive",
    "Spool": "agent.spool.spool",
    **dict.fromkeys(
        (
            "BackfillRow",
            "BackfillState",
            "Backlog",
            "ConfigRow",
            "Fallen",
            "FileRow",
            "FileState",
            "Fit",
            "JobOverview",
            "Left",
            "PauseRow",
            "Recovered",
            "RunRow",
            "RunState",
            "SettledFile",
            "WindowMark",
        ),
        "agent.spool.values",
    ),
    "LaneWait": "agent.trace",
    "Trace": "agent.trace",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


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
    "Outside",
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
