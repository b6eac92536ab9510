"""The second job of the design, as it is written there, with its own test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.job_tests import Trials

CONNECTIONS = {
    "simacan-stg": """\
connection: simacan-stg
type: http
endpoints: {otm5: http://127.0.0.1:9/otm5/realisation}
""",
    "fleet-db": "connection: fleet-db\ntype: database\nurl: sqlite:////var/lib/fleet.db\n",
}
JOB = """\
job: gps-positions
schedule: {every: 30s}
source:
  type: sql
  connection: fleet-db
  query: |
    SELECT id, recorded_at, plate, lat, lon, speed_kmh, heading, shipper FROM gps_position
    WHERE (recorded_at, id) > (:recorded_at, :id) ORDER BY recorded_at, id LIMIT 50000
  cursor: [recorded_at, id]                  # bound parameters; stored with the spooled messages, in one transaction
  start: now                                 # or: beginning, or {recorded_at: …, id: 0}
body:
  format: json
  per: record                                # one request per record (or: batch)
  map:
    eventType: locationUpdateEvent
    creationDate: =utc(recorded_at)
    lifecycle: actual
    actors:
      - {entity: {name: =shipper}, roles: [shipper], associationType: inline}
      - {entity: {name: acme-transport}, roles: [carrier], associationType: inline}
    vehicle: {entity: {vehicleType: Truck, licensePlate: =plate}, associationType: inline}
    geoReference:
      type: latLonPointGeoReference
      lat: =lat
      lon: =lon
      speed: {value: =speed_kmh, unit: km/h}
      heading: {value: =heading, unit: degrees}
target: {connection: simacan-stg, endpoint: otm5, method: POST}
delivery:
  order: {by: =plate, lanes: 16}             # or: strict (one lane, the default), or: none
  expire: {after: 30m, of: =recorded_at}     # too old to be of use: to the dead letters, reason "expired"
tests:
  - name: a standing truck
    given: [{id: 1, recorded_at: "2021-10-27T11:00:31+02:00", plate: AA-BB-CC, lat: 52, lon: 7, speed_kmh: 0, heading: 0, shipper: some-shipper}]
    expect: [{json: {creationDate: "2021-10-27T09:00:31Z", geoReference: {lat: 52, lon: 7}}}]     # subset match
"""


@pytest.fixture
def tested(tmp_path: Path) -> Trials:
    one = Trials(tmp_path)
    for name, text in CONNECTIONS.items():
        (one.config / f"connections/{name}.yaml").write_text(text)
    return one


def test_its_test_passes_without_a_database(tested, call):
    (tested.config / "jobs/gps-positions.yaml").write_text(JOB)
    code, out, err = call("test", "--config", tested.config)
    assert (code, err) == (0, "")
    assert out == "gps-positions\n  ok      a standing truck\nok: 1 test of 1 job\n"


def test_what_comes_out_of_a_database_is_not_given_as_a_file(tested, call):
    given = JOB[JOB.index("[{id: 1") : JOB.index("    expect: [{json")].rstrip()
    (tested.config / "jobs/gps-positions.yaml").write_text(JOB.replace(given, "{file: rows.csv}"))
    code, _, err = call("test", "--config", tested.config)
    assert code == 78
    assert "tests[0].given: a source of type sql reads no files" in err
