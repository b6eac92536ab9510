"""Run as a process: uses a spool and dies by SIGKILL at the statement that it is told.

    python -m tests.support.spool_child STATE KILL_AT [open|work|keyed|windows|prune]

Prints `appended KEY…` and `acked KEY` once the spool has said so: what stands there must have survived.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from agent.clock import SystemClock
from agent.receipt_keys import bytes_of, mark_of, packed
from agent.spool import Spool, key_index
from agent.window import Window
from tests.support.spool import draft, receipt


def die_at(count: int, word: str = "") -> Callable[[], None]:
    """SIGKILL before the statement with this number, of those with the word in it; what ends the counting."""
    seen = 0
    real = sqlite3.connect

    def trace(statement: str) -> None:
        nonlocal seen
        seen += word in statement
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*args, **kwargs):
        connection = real(*args, **kwargs)
        connection.set_trace_callback(trace)
        return connection

    def spare() -> None:
        nonlocal count
        count = 0  # what measures the tests has a database, too

    sqlite3.connect = connect
    return spare


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


def work(spool: Spool) -> None:
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    for number in range(1, 30):
        lot = [draft(f"{number}.{part}".encode() * 50) for part in range(4)]
        say("appended", *spool.append(run, lot, cursor={"n": number}).result())
        for message in spool.oldest("gps", 0, limit=3).result():
            spool.ack(message, receipt(message)).result()
            say("acked", message.key)


def keyed(spool: Spool) -> None:
    """Positions of three vehicles, each with a key of its own; what is superseded leaves, the rest is acked."""
    key_index.PART_KEYS, key_index.PAGE_KEYS, key_index.MERGED_PARTS, key_index.RANGES = 4, 2, 3, 2
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    for number in range(1, 30):
        lot = [
            draft(
                b"%d" % part,
                subject=f"{part % 3}",
                record_keys=packed([bytes_of(mark_of(f"{number}.{part}"))]),
            )
            for part in range(4)
        ]
        say("appended", *spool.append(run, lot).result())
        head = spool.oldest("gps", 0, limit=3).result()
        gone = spool.supersede(head).result()
        for message in head:
            if message.id not in gone:
                spool.ack(message, receipt(message)).result()
                say("acked", message.key)


def windows(spool: Spool) -> None:
    """Pull windows of ten seconds up to 200, each in three pieces, from wherever they are."""
    while (done := start_of_next(spool)) < 200:
        window = Window.of(done, done + 10)
        run = spool.start_window("gps", window.end, "every", "sha", window, hold=True).result()
        for part in range(3):
            spool.append(run, [draft(f"{done:.0f}.{part}".encode())], cursor={"n": done}).result()
        spool.end_run(run, state="done", durable=True).result()
        say("done", str(window.end))


def prune(spool: Spool) -> None:
    """20 MB of receipts and dead bodies, which are then given back to the disk."""
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(os.urandom(50_000)) for _ in range(400)]).result()
    for message in spool.oldest("gps", 0, limit=390, max_bytes=10**9).result():
        spool.ack(message, receipt(message, at=0.0))
    say("acked", str(len(spool.oldest("gps", 0, limit=400, max_bytes=10**9).result())))
    spool.prune(timedelta(0)).result()


def start_of_next(spool: Spool) -> float:
    mark = spool.window_mark("gps").result()
    return 0.0 if mark is None else mark.done


def main() -> None:
    state, kill_at, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    spare = die_at(kill_at, "incremental_vacuum" if what == "prune" else "")
    spool = Spool.open(state, max_bytes=100_000_000, clock=SystemClock())
    if what == "work":
        work(spool)
    elif what == "keyed":
        keyed(spool)
    elif what == "windows":
        windows(spool)
    elif what == "prune":
        prune(spool)
    elif what == "hold":
        run = spool.start_run("gps", 1.0, "every", "sha").result()
        spool.append(run, [draft() for _ in range(5)]).result()
        say("ready")
        sys.stdin.read()
    spool.close()
    spare()
    say("end")


if __name__ == "__main__":
    main()
