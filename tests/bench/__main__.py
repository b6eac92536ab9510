"""`python -m tests.bench`: how fast, measured side by side with a script written by hand.

    python -m tests.bench w1 [--records 1000000] [--rounds 3] [--json FILE]

Each round runs both sides one after the other against the same sink on loopback; the table shows the
median of the rounds and the ratio of each round. Nothing here is a test: figures belong into
docs/PERFORMANCE.md with machine, date and command.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent

CONNECTION = """\
connection: sink
type: http
endpoints: {{ingest: "{url}/ingest"}}
accepts: {{gzip: {gzip}}}
"""
JOB = """\
job: w1
schedule: {{every: 1d}}
source:
  type: csv
  path: {csv}
  settle: 1ms
  types: {{lat: DOUBLE, lon: DOUBLE, speed_kmh: INTEGER, heading: INTEGER}}
body:
  format: json
  per: batch
  map:
    eventType: locationUpdateEvent
    creationDate: {time}
    lifecycle: actual
    actors:
      - {{entity: {{name: =shipper}}, roles: [shipper], associationType: inline}}
      - {{entity: {{name: acme-transport}}, roles: [carrier], associationType: inline}}
    vehicle: {{entity: {{vehicleType: Truck, licensePlate: =plate}}, associationType: inline}}
    geoReference:
      type: latLonPointGeoReference
      lat: =lat
      lon: =lon
      speed: {{value: =speed_kmh, unit: km/h}}
      heading: {{value: =heading, unit: degrees}}
batch: {{records: 500, bytes: 10MB}}
target: {{connection: sink, endpoint: ingest}}
"""


def write_csv(path, count):
    with path.open("w") as file:
        file.write("id,recorded_at,plate,lat,lon,speed_kmh,heading,shipper\n")
        file.writelines(
            f"{i},2026-10-27T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}+02:00,AA-{i % 1000:03d}-B,"
            f"{50 + i % 30000 / 10000:.5f},{4 + i % 31111 / 10000:.5f},{i % 120},{i % 360},shipper-{i % 7}\n"
            for i in range(count)
        )


class Sink:
    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, HERE / "sink.py"], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        return self

    def count(self):
        with urllib.request.urlopen(self.url + "/count") as answer:
            return json.load(answer)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def by_hand(csv, count, sink):
    command = [sys.executable, HERE / "by_hand.py", csv, sink.url + "/ingest", "500", "8"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return checked(sink, count, result["seconds"], result["peak_mb"])


def checked(sink, count, seconds, peak):
    got = sink.count()
    assert got["records"] == count, f"the sink has {got['records']} of {count} records"
    return {
        "seconds": seconds,
        "records_per_second": count / seconds,
        "peak_mb": peak,
        "requests": got["requests"],
    }


def ours(csv, count, sink, *, gzip, utc):
    """The daemon itself: from the start of its first run to the commit of its last receipt."""
    with tempfile.TemporaryDirectory(prefix="push-agent-bench-") as folder:
        config, state = Path(folder, "config"), Path(folder, "state")
        (config / "connections").mkdir(parents=True)
        (config / "jobs").mkdir()
        (config / "agent.yaml").write_text("web: {listen: off}\n")
        (config / "connections/sink.yaml").write_text(CONNECTION.format(url=sink.url, gzip=str(gzip).lower()))
        time_of = "=utc(recorded_at)" if utc else "=recorded_at"
        (config / "jobs/w1.yaml").write_text(JOB.format(csv=csv, time=time_of))
        command = [sys.executable, "-m", "agent", "run", "--config", config, "--state", state]
        with (Path(folder) / "log").open("w") as log:
            daemon = subprocess.Popen(command, stderr=log, stdout=log, cwd=HERE.parents[1])
            try:
                status = wait_for(daemon, state, count, Path(folder, "log"))
                peak = peak_of(daemon.pid)
            finally:
                daemon.terminate()
                daemon.wait()
        seconds = status["last_receipt"] - status["first_run"]
        return checked(sink, count, seconds, peak)


def wait_for(daemon, state, count, log):
    """Poll the database from outside, gently: the daemon's clock is in its own rows."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(0.25)
        if daemon.poll() is not None:
            raise SystemExit(log.read_text())
        database = state / "state.db"
        if not database.exists():
            continue
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            done = connection.execute(
                "select coalesce(sum(records), 0), max(delivered_at) from receipts"
            ).fetchone()
            first = connection.execute("select min(started_at) from runs").fetchone()[0]
        except sqlite3.OperationalError:
            continue
        finally:
            connection.close()
        if done[0] >= count:
            return {"last_receipt": done[1], "first_run": first}
    raise SystemExit("not done in 10 minutes\n" + log.read_text())


def peak_of(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def w1(records, rounds):
    rows = {
        "push-agent, target takes gzip": [],
        "push-agent, plain": [],
        "aiohttp + orjson by hand, 8 connections": [],
    }
    with tempfile.TemporaryDirectory(prefix="push-agent-bench-") as folder, Sink() as sink:
        csv = Path(folder, "positions.csv")
        write_csv(csv, records)
        for _ in range(rounds):
            rows["push-agent, target takes gzip"].append(ours(csv, records, sink, gzip=True, utc=False))
            rows["push-agent, plain"].append(ours(csv, records, sink, gzip=False, utc=False))
            rows["aiohttp + orjson by hand, 8 connections"].append(by_hand(csv, records, sink))
    return rows


def show(title, rows):
    base = rows["aiohttp + orjson by hand, 8 connections"]
    print(f"\n{title}\n{machine()}\n")
    print("| | records/s (median) | min … max | ratio to by hand, round by round | peak MB |")
    print("|---|---:|---:|---|---:|")
    for name, results in rows.items():
        rates = [one["records_per_second"] for one in results]
        ratios = ", ".join(
            f"{rate / other['records_per_second']:.2f}" for rate, other in zip(rates, base, strict=True)
        )
        peak = max(one["peak_mb"] for one in results)
        print(
            f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} … {max(rates):,.0f} | {ratios} | {peak:.0f} |"
        )


def machine():
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    return f"{os.cpu_count()} cores {model}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("work", choices=["w1"])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write every figure there")
    options = parser.parse_args()
    rows = w1(options.records, options.rounds)
    show(f"W1: CSV, {options.records:,} rows → nested JSON, 500 a request → strict order → acked", rows)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
