"""Start-up and idleness: what the agent costs when nothing happens."""

from __future__ import annotations

import statistics
import sys
import time

from tests.bench import config
from tests.bench.processes import ROOT, Daemon, Sink, command
from tests.bench.result import Facts
from tests.bench.w1 import place

JOBS = 100


def measure(seconds=20.0, times=5):
    """`seconds` of idleness, after as long again to come to rest."""
    facts = Facts(title="Start and idle")
    helps = []
    for _ in range(times):
        began = time.perf_counter()
        command([sys.executable, "-m", "agent", "--help"], cwd=ROOT)
        helps.append(time.perf_counter() - began)
    facts.rows.append(("`push-agent --help`", f"{statistics.median(helps) * 1000:.0f} ms", "200 ms"))
    with place() as folder, Sink() as sink:
        drop = folder / "drop"
        drop.mkdir()
        jobs = {f"job-{n:03d}": config.file_job(drop, "{watch: true, every: 10m}") for n in range(JOBS)}
        config.write(folder / "config", sink.url, jobs)
        with Daemon(folder) as daemon:
            ready = daemon.ready()
            facts.rows.append((f"daemon with {JOBS} jobs: until it is ready", f"{ready:.2f} s", ""))
            time.sleep(seconds / 4)  # the first runs of all jobs
            before = daemon.cpu()
            time.sleep(seconds)
            used = (daemon.cpu() - before) / seconds * 100
            facts.rows.append((f"idle, {JOBS} jobs: memory", f"{daemon.memory('VmRSS'):.0f} MB", "≤ 90 MB"))
            facts.rows.append((f"idle, {JOBS} jobs: processor", f"{used:.2f} %", "≤ 0.5 % of a core"))
    return facts
