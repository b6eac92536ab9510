"""Run as a process: five letters are sent again, and it dies by SIGKILL before a chosen statement.

python -m tests.support.letters_child STATE TEXT NUMBER      before the NUMBER-th statement with TEXT
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.support.spool import draft, letter, open_spool


def main() -> None:
    state, text, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    spool = open_spool(state)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(f"{n}".encode()) for n in range(5)]).result()
    for message in reversed(spool.oldest("gps", 0).result()):
        spool.bury(message, letter(message)).result()
    seen = 0

    def trace(statement: str) -> None:
        nonlocal seen
        seen += text in statement
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    spool._thread.submit(lambda db: db.raw.set_trace_callback(trace), writes=False).result()
    spool.revive_all([5, 4, 3, 2, 1]).result()
    spool.close()


if __name__ == "__main__":
    main()
