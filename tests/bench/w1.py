"""W1: a CSV file → nested JSON, 500 records a request → durable spool → strict order → acked."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench import config, peers
from tests.bench.data import write_csv
from tests.bench.processes import Daemon, FailedError, Sink, free_port
from tests.bench.result import Figure, Race

GZIP = "push-agent, target takes gzip"
PLAIN = "push-agent, plain"
HAND = "aiohttp + orjson by hand, 8 connections"
REQUESTS = "csv + json + requests by hand"


@contextmanager
def place():
    """A folder in the temp folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="push-agent-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ours(source, count, sink, *, gzip, database=None):
    """The daemon itself: from the start of its first run to its last receipt."""
    with place() as folder:
        port = free_port()
        jobs = {"w1": config.batched(source)}
        web = f"127.0.0.1:{port}"
        config.write(folder / "config", sink.url, jobs, gzip=gzip, database=database, web=web)
        with Daemon(folder) as daemon:
            first, last = daemon.delivered(count)
            stall, peak = daemon.stall(port), daemon.memory()
        check(sink, count)
        return Figure(rate=count / (last - first), peak_mb=peak, stall_ms=stall)


def check(sink, count):
    """A race that loses records is none."""
    got = sink.count()["records"]
    if got != count:
        raise FailedError(f"the sink has {got} of {count} records")


def theirs(run, source, count, sink):
    said = run(source, sink)
    check(sink, count)
    return Figure(rate=count / said["seconds"], peak_mb=said["peak_mb"])


def attempt(race, name, run):
    """One figure, or why there is none. A competitor that failed is not asked again."""
    if name in race.missing:
        return
    try:
        race.add(name, run())
    except (FailedError, OSError, subprocess.SubprocessError) as error:
        race.missing[name] = str(error)


def measure(records=1_000_000, rounds=3, *, with_peers=True):
    """Peers that save nothing in a database run once, over a tenth of the records: their rate does not change."""
    race = Race(
        title=f"W1: CSV, {records:,} rows → nested JSON, 500 a request → strict order → acked",
        unit="records/s",
        base=HAND,
        goal="gzip ≥ 800,000 records/s, plain ≥ 600,000, ≤ 300 MB; ≥ 3 x by hand, ≥ 10 x drt-core; stall < 50 ms",
    )
    with place() as folder, Sink() as sink:
        csv = write_csv(folder / "positions.csv", records)
        source = config.csv_source(csv)
        for _ in range(rounds):
            attempt(race, GZIP, partial(ours, source, records, sink, gzip=True))
            attempt(race, PLAIN, partial(ours, source, records, sink, gzip=False))
            attempt(race, HAND, partial(theirs, peers.by_hand, csv, records, sink))
        if with_peers:
            attempt(race, REQUESTS, partial(theirs, peers.by_hand_requests, csv, records, sink))
            fewer = max(records // 5, 500)
            part = write_csv(folder / "part.csv", fewer)
            race.note = f"drt-core and dlt: once, over {fewer:,} rows."
            others = {
                "drt-core, batches of 500": partial(peers.drt, per_request=500),
                "drt-core, batches of 10,000": partial(peers.drt, per_request=10_000),
                "dlt, rows": partial(peers.dlt, kind="rows"),
                "dlt, arrow": partial(peers.dlt, kind="arrow"),
            }
            for name, run in others.items():
                attempt(race, name, partial(theirs, run, part, fewer, sink))
    return race
