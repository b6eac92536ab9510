"""W2: one request per record, each ack committed before the lane's next request."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from tests.bench import config, peers
from tests.bench.data import write_csv
from tests.bench.processes import ROOT, Daemon, Sink, free_port, script
from tests.bench.result import Figure, Race
from tests.bench.w1 import attempt, check, place

OURS = "push-agent"
BARE = "a bare aiohttp loop that saves nothing"

RECEIPT = "select delivered_at from receipts order by delivered_at limit 1 offset {}"
CASES = (
    # title, lanes, latency of the sink in seconds, goal
    ("one strict lane", 1, 0.0, "≥ 3,000 requests/s, the bare loop 4,700 (0.64)"),
    ("8 lanes", 8, 0.0, "≥ 6,000 requests/s, the bare loop 9,300 (0.65)"),
    ("64 lanes, the sink answers after 20 ms", 64, 0.02, "≥ 2,800 requests/s; more than 3,200 cannot be"),
)


def ours(source, count, sink, lanes):
    """From the first to the last receipt: with one lane the file is read before the first request leaves.

    With lanes from the 5th to the 80th of a hundred receipts: a hash deals the records out to them, and the
    last ones of the fullest lane, when the others have ended, would say how even the hash is.
    """
    with place() as folder:
        order = config.lanes_of(lanes) if lanes > 1 else ""
        port = free_port()
        options = {"concurrency": max(lanes, 8), "web": f"127.0.0.1:{port}"}
        config.write(folder / "config", sink.url, {"w2": config.each(source, order)}, **options)
        if lanes > 1 and not understood(folder):
            config.write(
                folder / "config", sink.url, {"w2": config.each(config.csv_source("/none/*.csv"))}, **options
            )
            script("seed.py", folder / "state", "w2", count, lanes)
        with Daemon(folder) as daemon:
            daemon.delivered(count)
            begin, end = (count * 5 // 100, count * 80 // 100) if lanes > 1 else (0, count - 1)
            first, last = (daemon.ask(RECEIPT.format(at))[0] for at in (begin, end))
            stall, peak = daemon.stall(port), daemon.memory()
        check(sink, count)
        return Figure(rate=(end - begin) / (last - first), peak_mb=peak, stall_ms=stall)


def understood(folder):
    """Whether this version knows lanes; if not, they are made in the spool."""
    command = [sys.executable, "-m", "agent", "validate", "--config", folder / "config"]
    return not subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


def bare(count, sink, connections):
    said = peers.bare_loop(sink, count, connections)
    check(sink, count)
    return Figure(rate=count / said["seconds"], peak_mb=said["peak_mb"])


def measure(records=100_000, rounds=1):
    """One race per case."""
    races = []
    with place() as folder:
        source = config.csv_source(write_csv(folder / "positions.csv", records))
        for title, lanes, latency, goal in CASES:
            race = Race(
                title=f"W2: {records:,} records, one request each: {title}",
                unit="requests/s",
                base=BARE,
                goal=goal,
            )
            with Sink(latency=latency) as sink:
                for _ in range(rounds):
                    attempt(race, OURS, partial(ours, source, records, sink, lanes))
                    attempt(race, BARE, partial(bare, records, sink, lanes))
            races.append(race)
    return races
