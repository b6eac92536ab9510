"""Fill a spool without a run: messages as a job would have appended them.

    seed.py STATE JOB MESSAGES LANES

Prints one JSON line: how many. Runs as a process of its own, so that what measures stays small.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from by_hand_rows import nested
from data import COLUMNS, lines, values

from agent.bodies import gzipped
from agent.clock import SystemClock
from agent.message import Draft
from agent.spool import Spool

PART = 2_000


def draft(number, line, lanes):
    body = json.dumps(nested(dict(zip(COLUMNS, values(line), strict=True)))).encode()
    return Draft(
        body=gzipped(body),
        size=len(body),
        records=1,
        content_type="application/json",
        origin=f"seed row {number}",
        lane=number % lanes,
        first=number,
    )


def main(state, job, count, lanes):
    spool = Spool.open(state, max_bytes=10_000_000_000, clock=SystemClock(), owner="seed")
    try:
        run = spool.start_run(job, 0.0, "bench", "bench").result()
        part = []
        for number, line in enumerate(lines(count)):
            part.append(draft(number, line, lanes))
            if len(part) == PART:
                spool.append(run, part).result()
                part = []
        spool.append(run, part).result()
        spool.end_run(run, state="done").result()
    finally:
        spool.close()
    print(json.dumps({"messages": count}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
