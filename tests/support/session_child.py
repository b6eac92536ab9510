"""Run as a process: keeps one pair of tokens after the other in a state folder, until it is killed.

    python -m tests.support.session_child STATE COUNT

Prints `kept N` once generation N was durable.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from agent.auth.memory import SessionMemory
from agent.auth.token import Grant, Moment
from agent.auth.vault import open_vault
from agent.clock import SystemClock
from agent.config.model import LoginLimit
from agent.spool import Spool


def refresh_of(generation):
    return f"refresh-{generation}-" + "r" * 1500


async def keep(state, count):
    clock = SystemClock()
    spool = Spool.open(state, max_bytes=100_000_000, clock=clock)
    memory = SessionMemory("p", spool, open_vault(state), clock)
    token = await memory.load(LoginLimit())
    for _ in range(count):
        if token is not None:
            await memory.intend(token.generation)
        generation = memory.row.generation + 1
        grant = Grant(access=f"access-{generation}", refresh=refresh_of(generation), lifetime=3600.0)
        token = await memory.keep(grant, Moment(wall=clock.now(), boot=clock.boottime()), token)
        assert not memory.unsaved
        os.write(1, f"kept {token.generation}\n".encode())
    return spool


def main():
    asyncio.run(keep(Path(sys.argv[1]), int(sys.argv[2]))).close()


if __name__ == "__main__":
    main()
