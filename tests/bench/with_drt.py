"""The same work with drt-core: DuckDB reads the CSV, a Jinja template makes the body. Runs in drt's own venv.

    with_drt.py CSV URL RECORDS_A_REQUEST FOLDER

drt is a command line tool: a project is written into FOLDER, and `drt run` is timed from its start to its end,
without the 0.4 s that the bare command takes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

RECORD = """\
{"eventType": "locationUpdateEvent", "creationDate": {{ row.recorded_at | tojson }}, "lifecycle": "actual",
 "actors": [{"entity": {"name": {{ row.shipper | tojson }}}, "roles": ["shipper"], "associationType": "inline"},
            {"entity": {"name": "acme-transport"}, "roles": ["carrier"], "associationType": "inline"}],
 "vehicle": {"entity": {"vehicleType": "Truck", "licensePlate": {{ row.plate | tojson }}}, "associationType": "inline"},
 "geoReference": {"type": "latLonPointGeoReference", "lat": {{ row.lat }}, "lon": {{ row.lon }},
                  "speed": {"value": {{ row.speed_kmh }}, "unit": "km/h"},
                  "heading": {"value": {{ row.heading }}, "unit": "degrees"}}}"""
TEMPLATE = "[{% for row in rows %}" + RECORD + "{% if not loop.last %},{% endif %}{% endfor %}]"
TYPES = "types={'recorded_at': 'VARCHAR'}"


def project(folder, path, url, per_request):
    (folder / ".drt").mkdir(parents=True)
    (folder / "syncs").mkdir()
    (folder / ".drt/profiles.yml").write_text("local: {type: duckdb, database: ':memory:'}\n")
    (folder / "drt_project.yml").write_text("name: bench\nversion: '0.1'\nprofile: local\n")
    sync = {
        "name": "positions",
        "model": f"SELECT * FROM read_csv('{path}', {TYPES})",
        "destination": {
            "type": "rest_api",
            "url": url,
            "method": "POST",
            "headers": {"Content-Type": "application/json"},
            "body_mode": "batch",
            "batch_template": TEMPLATE,
        },
        "sync": {
            "mode": "full",
            "batch_size": per_request,
            "rate_limit": {"requests_per_second": 1_000_000},
            "on_error": "fail",
        },
    }
    (folder / "syncs/positions.yml").write_text(json.dumps(sync))  # JSON is YAML


def main(path, url, per_request, folder):
    project(folder, path, url, per_request)
    environment = {**os.environ, "HOME": str(folder), "DRT_TELEMETRY": "0", "DO_NOT_TRACK": "1"}
    drt = str(Path(sys.executable).with_name("drt"))

    def run(*words):
        began = time.perf_counter()
        subprocess.run([drt, *words], cwd=folder, env=environment, check=True, stdout=sys.stderr)
        return time.perf_counter() - began

    idle = run("--version")
    seconds = run("run") - idle
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
