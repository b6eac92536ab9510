"""The four jobs that must work as they are written, in one real daemon.

Against a real PostgreSQL, a SQLite file, dropped files, and a stand-in that checks XML against the platform's
XSD. Changed are only the folders, since a test may not write to /data.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from tests.support.design_jobs import DEVICES, PLANNING, POSITIONS, TRACKING
from tests.support.postgres import binaries, cluster
from tests.support.world import ROOT

PLATFORM = """\
connection: simacan-stg
type: http
auth:
  type: password
  url: {url}/api/v1
  username: {{secret: user}}
  password: {{secret: password}}
endpoints:
  planning: {url}/trips/insertOrUpdate
  otm5: {url}/otm5/realisation
  devices: {url}/devices
  tracking: {url}/api/v1/realisation
limits: {{rate: 200/s, concurrency: 8}}
accepts: {{gzip: true}}
"""

TABLE = """
CREATE TABLE gps_position (
    id bigserial PRIMARY KEY, recorded_at timestamptz NOT NULL, plate text, lat double precision,
    lon double precision, speed_kmh integer, heading integer, shipper text)
"""


@pytest.fixture(scope="module")
def postgres():
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no PostgreSQL: apt-get install postgresql")
        pytest.skip("needs PostgreSQL (apt-get install postgresql)")
    with cluster() as running:
        yield running


@pytest.fixture
def fleet(world, sandbox, postgres):
    """The world of a carrier: two databases, two folders, four jobs.

    Patient: on a machine that does much else, its start alone was seen to take half a minute.
    """
    world.patience = 100
    postgres.run(f"DROP TABLE IF EXISTS gps_position; {TABLE}")
    tms = world.folder / "tms.db"
    with closing(sqlite3.connect(tms)) as con, con:
        con.execute(
            "CREATE TABLE realisation (id INTEGER PRIMARY KEY, trip_id TEXT, ts TEXT, heading INTEGER, "
            "speed REAL, lon REAL, lat REAL)"
        )
    connections = world.config / "connections"
    (connections / "simacan-stg.yaml").write_text(PLATFORM.format(url=sandbox.url))
    (connections / "fleet-db.yaml").write_text(
        f"connection: fleet-db\ntype: database\nurl: {postgres.url}\nusername: postgres\n"
    )
    (connections / "tms-db.yaml").write_text(f"connection: tms-db\ntype: database\nurl: sqlite:///{tms}\n")
    (world.folder / "planning").mkdir()
    world.job("planning-csv", PLANNING.replace("/var/spool/planning", str(world.folder / "planning")))
    world.job("gps-positions", POSITIONS)
    world.job("tracking-devices", DEVICES.replace("/data/fleet", str(world.folder)))
    world.job("sct-tracking", TRACKING)
    return world


def drive(postgres, first, count, *, ago=timedelta(0)):
    """So many positions of three vehicles."""
    at = datetime.now(UTC).replace(microsecond=123456) - ago
    with postgres.open() as con:
        for number in range(first, first + count):
            con.execute(
                "INSERT INTO gps_position (recorded_at, plate, lat, lon, speed_kmh, heading, shipper) "
                "VALUES (%s, %s, 52.5, 4.9, %s, 270, 'some-shipper')",
                (at + timedelta(seconds=number), f"AA-{number % 3:02}-B", number),
            )


def sent(sandbox, endpoint):
    return [entry for entry in sandbox.recorded() if entry["endpoint"] == endpoint]


def bodies(sandbox, endpoint):
    return [json.loads(entry["body"]) for entry in sent(sandbox, endpoint)]


def push(world, job):
    world.run("push", job, check=0)


def test_the_design_validates_and_passes_its_own_test(fleet):
    for command, said in ((["validate", "--strict"], "4 jobs"), (["test"], "1 test")):
        line = [sys.executable, "-m", "agent", *command, "--config", str(fleet.config)]
        done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


@pytest.mark.timeout(300)
def test_the_four_jobs_of_the_design_run_as_they_are_written(fleet, sandbox, postgres):
    drive(postgres, 0, 5, ago=timedelta(minutes=20))  # before the first run: `start: now`
    fleet.start()
    fleet.until(
        lambda: (run := fleet.live("gps-positions")["last_run"]) and run["state"] == "done",
        "the position is taken",
    )

    # 1. a planning file, whole
    planning = (
        b"trip ID,STOP ID,location ID,start time stop,END time stop\n1,2,3,2026-01-25T10:45:00+01:00,x\n"
    )
    path = fleet.folder / "planning/one.csv"
    path.write_bytes(planning)
    os.utime(path, (1, 1))  # settled long ago
    push(fleet, "planning-csv")
    fleet.until((fleet.folder / "planning/done/one.csv").exists, "the planning file is delivered")

    # 2. positions, in order per vehicle
    drive(postgres, 100, 30)
    push(fleet, "gps-positions")
    fleet.until(lambda: len(sent(sandbox, "otm5")) == 30, "30 positions arrived")
    events = bodies(sandbox, "otm5")
    for plate in {event["vehicle"]["entity"]["licensePlate"] for event in events}:
        speeds = [
            event["geoReference"]["speed"]["value"]
            for event in events
            if event["vehicle"]["entity"]["licensePlate"] == plate
        ]
        assert speeds == sorted(speeds)
    assert {event["geoReference"]["speed"]["value"] for event in events} == set(range(100, 130))
    assert all(event["creationDate"].endswith(".123456Z") for event in events)

    # 3. devices: new ones, then only what changed
    devices = fleet.folder / "devices.csv"
    devices.write_text("id;plate;carrier;active\n0042;AA-BB-CC;acme;true\n0043;;acme;false\n")
    os.utime(devices, (1, 1))
    push(fleet, "tracking-devices")
    fleet.until(lambda: len(sent(sandbox, "devices")) == 2, "two devices arrived")
    assert bodies(sandbox, "devices")[1] == {
        "externalSystemId": "acme-fms",
        "externalDeviceId": "0043",
        "customerDeviceId": "0043",
        "carrierCode": "acme",
        "active": False,
    }
    devices.write_text("id;plate;carrier;active\n0042;AA-BB-CC;acme;true\n0043;DD-EE-FF;acme;false\n")
    os.utime(devices, (2, 2))
    push(fleet, "tracking-devices")
    fleet.until(lambda: len(sent(sandbox, "devices")) == 3, "the changed device arrived")
    assert bodies(sandbox, "devices")[2]["licensePlate"] == "DD-EE-FF"

    # 4. XML documents of at most 100 records, which the stand-in holds against the XSD
    with closing(sqlite3.connect(fleet.folder / "tms.db")) as con, con:
        con.executemany(
            "INSERT INTO realisation VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (n, f"trip <{n}> & co", "2026-10-27T11:00:31+02:00", n % 360, 80.5, 4.9, 52.1)
                for n in range(1, 251)
            ],
        )
    push(fleet, "sct-tracking")
    fleet.until(lambda: len(sent(sandbox, "tracking")) >= 3, "the documents arrived")
    documents = [ET.fromstring(entry["body"]) for entry in sent(sandbox, "tracking")]
    assert [len(document) for document in documents] == [100, 100, 50]
    assert documents[0].tag == "{http://api.transportcloud.io/schemas/carrier/v1/realisation}realisation"
    trips = [child.findtext("tripId") for document in documents for child in document]
    assert trips == [f"trip <{n}> & co" for n in range(1, 251)]

    counts = {name: len(sent(sandbox, name)) for name in ("login", "planning", "otm5", "devices", "tracking")}
    assert counts == {"login": 1, "planning": 1, "otm5": 30, "devices": 3, "tracking": 3}
    fleet.stop()
