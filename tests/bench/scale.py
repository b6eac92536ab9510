"""What grows: records, jobs, waiting messages. Memory and times must not grow with them."""

from __future__ import annotations

import json
import statistics
import time

from tests.bench import config
from tests.bench.data import write_csv
from tests.bench.processes import Daemon, FailedError, Sink, script
from tests.bench.result import Facts
from tests.bench.w1 import place

LATELY = 100
"""Of 10,000 jobs so many are due at the same moment, every few seconds; nearly all others once a year."""
DUE_EVERY = 2
APART = 50
"""So many are due each at its own moments: nobody but the schedule makes them late."""


def memory(counts=(10_000, 100_000, 1_000_000, 10_000_000)):
    """Peak memory of W1 by the number of records."""
    facts = Facts(title="Memory against records (W1, gzip)")
    with Sink(keep=False) as sink:
        for count in counts:
            mb, rate = peak(count, sink)
            said = f"{mb:.0f} MB, {rate:,.0f} records/s"
            facts.rows.append((f"{count:,} records", said, "flat, ≤ 300 MB"))
    return facts


def peak(count, sink):
    """W1 over so many records: the daemon's peak memory in MB, and records a second."""
    with place() as folder:
        csv = write_csv(folder / "positions.csv", count)
        config.write(folder / "config", sink.url, {"w1": config.batched(config.csv_source(csv))})
        with Daemon(folder) as daemon:
            first, last = daemon.delivered(count)
            return daemon.memory(), count / (last - first)


def jobs(count=10_000, seconds=10.0):
    """Start, one changed file, and how late due jobs begin.

    A run that is due at the same moment as 99 others waits for one of `collect.concurrency` slots: what that
    costs is measured apart from how late the schedule itself is.
    """
    facts = Facts(title=f"{count:,} jobs")
    with place() as folder, Sink() as sink:
        drop = folder / "drop"
        drop.mkdir()
        rare = config.file_job(drop, '{cron: "0 3 1 1 *"}')
        texts = {f"job-{n:05d}": rare for n in range(count - APART)}
        # their periods differ, so their moments do
        texts |= {
            f"alone-{n:02d}": config.file_job(drop, f"{{every: {2503 + 37 * n}ms}}") for n in range(APART)
        }
        config.write(folder / "config", sink.url, texts)
        with Daemon(folder) as daemon:
            ready = daemon.ready()
            facts.rows.append(("from the start of the process until ready", f"{ready:.1f} s", "≤ 10 s"))
            facts.rows.append(("memory", f"{daemon.memory('VmRSS'):.0f} MB", ""))
            begun = "begun late by (median, 99 %)"
            late = _lateness(daemon, "alone-", seconds)
            facts.rows.append((f"{APART} of them due one by one: {begun}", late, "≤ 100 ms"))
            live = _changed_file(daemon, rare)
            facts.rows.append(("one changed file is live after", f"{live:.2f} s", "≤ 1 s"))
            often = config.file_job(drop, f"{{every: {DUE_EVERY}s}}")
            for n in range(LATELY):
                (daemon.config / f"jobs/job-{n:05d}.yaml").write_text(f"job: job-{n:05d}\n{often}")
            daemon.command("reload")
            time.sleep(DUE_EVERY)  # each runs once when it is first seen
            late = _lateness(daemon, "job-", seconds)
            name = f"{LATELY} of them due at one moment, two at a time"
            facts.rows.append((f"{name}: {begun}", late, ""))
    return facts


def _lateness(daemon, begins, seconds):
    """Of the runs that are due from now on."""
    since = time.time()
    time.sleep(seconds)
    said = daemon.ask(
        "select json_group_array(started_at - due) from runs "
        "where trigger not in ('watch', 'first', 'missed') and state != 'skipped' "
        f"and job like '{begins}%' and due > {since}"
    )
    late = sorted(json.loads(said[0])) if said else []
    if not late:
        raise FailedError("no run was due")
    return f"{statistics.median(late) * 1000:.0f} ms, {late[int(len(late) * 0.99)] * 1000:.0f} ms"


def _changed_file(daemon, rare):
    before = daemon.log.stat().st_size
    file = daemon.config / f"jobs/job-{LATELY:05d}.yaml"
    fresh = file.with_suffix(".tmp")
    fresh.write_text(f"job: {file.stem}\n{rare.replace('text/csv', 'text/plain')}")
    began = time.time()
    fresh.replace(file)

    def look():
        with daemon.log.open() as log:
            log.seek(before)
            return True if "1 changed" in log.read() else None

    daemon.until(look, every=0.01, patience=60)
    return time.time() - began


def waiting(count=1_000_000, few=1_000):
    """The same rate and start with a million messages in the spool as with a thousand."""
    facts = Facts(title=f"{count:,} messages waiting")
    for number in (few, count):
        with place() as folder, Sink(keep=False) as sink:
            script("seed.py", folder / "state", "waiting", number, 1)
            config.write(
                folder / "config", sink.url, {"waiting": config.each(config.csv_source("/none/*.csv"))}
            )
            with Daemon(folder) as daemon:
                first = daemon.until(
                    lambda daemon=daemon: daemon.ask("select delivered_at from receipts limit 1"), every=0.01
                )[0]
                name = f"{number:,} waiting"
                facts.rows.append(
                    (f"{name}: first delivery after", f"{first - daemon.started_at:.2f} s", "≤ 2 s")
                )
                if number == few:
                    _, last = daemon.delivered(few)
                    rate = (few - 1) / (last - first)
                else:
                    rate = _rate(daemon)
                facts.rows.append((f"{name}: rate", f"{rate:,.0f} requests/s", "as with 1,000"))
                took = statistics.median(daemon.command("status") for _ in range(5))
                facts.rows.append((f"{name}: `push-agent status` (median of 5)", f"{took:.2f} s", "≤ 0.5 s"))
                facts.rows.append((f"{name}: peak memory", f"{daemon.memory():.0f} MB", "as with 1,000"))
    return facts


def _rate(daemon, seconds=5.0):
    def newest():
        return daemon.ask("select id, delivered_at from receipts order by id desc limit 1")

    first = newest()
    time.sleep(seconds)
    last = newest()
    if last[0] == first[0]:
        raise FailedError("nothing was delivered")
    return (last[0] - first[0]) / (last[1] - first[1])
