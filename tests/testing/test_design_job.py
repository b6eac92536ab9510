"""The second job of the design, as it is written there, with its own test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.design_jobs import POSITIONS
from tests.support.job_tests import Trials

CONNECTIONS = {
    "simacan-stg": """\
connection: simacan-stg
type: http
endpoints: {otm5: http://127.0.0.1:9/otm5/realisation}
""",
    "fleet-db": "connection: fleet-db\ntype: database\nurl: sqlite:////var/lib/fleet.db\n",
}


@pytest.fixture
def tested(tmp_path: Path) -> Trials:
    one = Trials(tmp_path)
    for name, text in CONNECTIONS.items():
        (one.config / f"connections/{name}.yaml").write_text(text)
    return one


def test_its_test_passes_without_a_database(tested, call):
    (tested.config / "jobs/gps-positions.yaml").write_text(POSITIONS)
    code, out, err = call("test", "--config", tested.config)
    assert (code, err) == (0, "")
    assert out == "gps-positions\n  ok      a standing truck\nok: 1 test of 1 job\n"


def test_what_comes_out_of_a_database_is_not_given_as_a_file(tested, call):
    given = POSITIONS[POSITIONS.index("[{id: 1") : POSITIONS.index("    expect: [{json")].rstrip()
    (tested.config / "jobs/gps-positions.yaml").write_text(POSITIONS.replace(given, "{file: rows.csv}"))
    code, _, err = call("test", "--config", tested.config)
    assert code == 78
    assert "tests[0].given: a source of type sql reads no files" in err


def test_a_test_is_written_of_the_rows_of_a_database_and_passes(tested, call, tmp_path):
    base = tmp_path / "fleet.db"
    with closing(sqlite3.connect(base)) as con, con:
        con.execute(
            "CREATE TABLE gps_position (id INTEGER, recorded_at TEXT, plate TEXT, lat REAL, lon REAL,"
            " speed_kmh REAL, heading INTEGER, shipper TEXT)"
        )
        con.executemany(
            "INSERT INTO gps_position VALUES (?, ?, ?, 52.1, 5.3, 80.5, 270, 'some-shipper')",
            [(number, f"2026-10-27T11:00:3{number}Z", f"AA-{number:02}") for number in range(9)],
        )
    (tested.config / "connections/fleet-db.yaml").write_text(
        f"connection: fleet-db\ntype: database\nurl: sqlite:///{base}\n"
    )
    job = POSITIONS[: POSITIONS.index("tests:")]
    file = tested.config / "jobs/gps-positions.yaml"
    file.write_text(job)
    state = ("--config", tested.config, "--state", tmp_path / "none")
    code, out, err = call("dry-run", "gps-positions", "--as-test", "--limit", "2", *state)
    assert (code, err) == (0, "")
    assert "  - name: the first 2 of fleet-db\n" in out
    assert out.count("licensePlate") == 2
    file.write_text(job + out)
    code, out, _ = call("test", "--config", tested.config)
    assert (code, out.splitlines()[-1]) == (0, "ok: 1 test of 1 job"), out


def test_a_test_is_written_of_what_a_program_prints_and_passes(tested, call, tmp_path):
    program = tmp_path / "print-trips"
    program.write_text(
        '#!/bin/sh\necho \'{"trip": "T1", "stops": [1, 2]}\'\necho \'{"trip": "T2", "stops": []}\'\n'
    )
    program.chmod(0o755)
    (tested.config / "agent.yaml").write_text(f"commands: {{allow: [{program}]}}\n")
    job = (
        "job: trips\nschedule: {every: 1h}\n"
        f"source: {{type: command, command: [{program}], format: ndjson}}\n"
        "body: {format: json, per: batch}\ntarget: {connection: simacan-stg, endpoint: otm5}\n"
    )
    file = tested.config / "jobs/trips.yaml"
    file.write_text(job)
    state = ("--config", tested.config, "--state", tmp_path / "none")
    code, out, err = call("dry-run", "trips", "--as-test", *state)
    assert (code, err) == (0, "")
    assert "      - json: [{trip: T1, stops: [1, 2]}, {trip: T2, stops: []}]\n" in out
    file.write_text(job + out)
    code, out, _ = call("test", "--config", tested.config)
    assert (code, out.splitlines()[-1]) == (0, "ok: 1 test of 1 job"), out
