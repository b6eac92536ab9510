"""Run as a process: delivers what lies in a spool and dies by SIGKILL at the statement that it is told.

python -m tests.support.split_child STATE URL KILL_AT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent.auth.fixed import NoSession
from agent.clock import SystemClock
from agent.config.model import Limits
from agent.connections import open_connection
from agent.deliver import Deliverer
from agent.request import resolve
from agent.spool import Spool
from tests.support.delivery import a_connection, a_job, half
from tests.support.spool_child import die_at


async def deliver(state: Path, url: str) -> None:
    clock = SystemClock()
    spool = Spool.open(state, max_bytes=100_000_000, clock=clock)
    connection = await open_connection(
        a_connection(url, limits=Limits()), lambda _: NoSession("platform"), clock=clock, random=half
    )
    job = a_job()
    deliverer = Deliverer(spool, clock=clock, random=half)
    deliverer.set_routes({job.name: (resolve(job, connection.connection), job.delivery, connection)})
    await deliverer.start()
    while await deliverer.drained(job.name) is not None:
        pass
    await deliverer.stop(10)
    await connection.close(0)
    spool.close()


def main() -> None:
    state, url, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    spare = die_at(kill_at)
    asyncio.run(deliver(state, url))
    spare()


if __name__ == "__main__":
    main()
