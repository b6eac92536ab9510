"""The config folders of the workloads."""

from __future__ import annotations

import json

CONNECTION = """\
connection: sink
type: http
endpoints: {{ingest: "{url}/ingest"}}
accepts: {{gzip: {gzip}}}
limits: {{concurrency: {concurrency}}}
"""
CSV = """\
source:
  type: csv
  path: {path}
  settle: 1ms
  types: {{lat: DOUBLE, lon: DOUBLE, speed_kmh: INTEGER, heading: INTEGER}}
"""
SQL = """\
source:
  type: sql
  connection: fleet-db
  query: "SELECT id, recorded_at, plate, lat, lon, speed_kmh, heading, shipper FROM positions WHERE id > :id ORDER BY id"
  cursor: [id]
  start: {id: -1}
"""
BODY = """\
body:
  format: json
  per: {per}
  map:
    eventType: locationUpdateEvent
    creationDate: =recorded_at
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
"""
TARGET = "target: {connection: sink, endpoint: ingest}\n"
BATCH = "batch: {records: 500, bytes: 10MB}\n"


def write(folder, url, jobs, *, gzip=True, concurrency=8, database=None, web=None):
    """A config folder: the sink's connection, the jobs (name → text) and, if there is one, the database's."""
    for name in ("connections", "jobs", "secrets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "agent.yaml").write_text(f"web: {{listen: {json.dumps(web or 'off')}}}\n")
    connection = CONNECTION.format(url=url, gzip=str(gzip).lower(), concurrency=concurrency)
    (folder / "connections/sink.yaml").write_text(connection)
    if database is not None:
        # a URL of a connection holds no user name
        before, at, after = database.rpartition("bench@")
        user = f"username: {at[:-1]}\n" if at else ""
        text = f"connection: fleet-db\ntype: database\nurl: {json.dumps(before + after)}\n{user}"
        (folder / "connections/fleet-db.yaml").write_text(text)
    for name, text in jobs.items():
        (folder / f"jobs/{name}.yaml").write_text(f"job: {name}\n{text}")


def batched(source):
    """W1's job, from this source: 500 records a request."""
    return f"schedule: {{every: 1d}}\n{source}{BODY.format(per='batch')}{BATCH}{TARGET}"


def each(source, order=""):
    """W2's job: one request per record."""
    return f"schedule: {{every: 1d}}\n{source}{BODY.format(per='record')}{TARGET}{order}"


def csv_source(path):
    return CSV.format(path=path)


def lanes_of(count):
    """As many messages in each: the bare loop beside it deals them out evenly too."""
    return f"delivery:\n  order: {{by: =id, lanes: {count}}}\n"


def file_job(folder, schedule):
    """A job that moves whole files, of which there are none: what an idle daemon is made of."""
    return (
        f"schedule: {schedule}\n"
        f"source: {{type: file, path: {folder}/*.csv}}\n"
        "body: {format: raw, content_type: text/csv}\n" + TARGET
    )
