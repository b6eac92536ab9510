"""The four jobs of the design, word for word. Docs and examples may change; these words are fixed."""

from __future__ import annotations

PLANNING = """\
job: planning-csv
schedule: {watch: true, every: 10m}          # on file events, and a sweep in case one was missed
source:
  type: file
  path: /var/spool/planning/*.csv
  settle: 5s                                 # size and mtime unchanged this long
  order: [mtime, name]
  once_per: content                          # sha-256: the same bytes are not sent twice (or: path)
  columns: [trip ID, STOP ID, location ID, start time stop, END time stop]   # checked before sending
  done: {move: done/}                        # moved once delivered
  failed: {move: failed/}                    # with NAME.why.json beside it: status, answer, request
body: {format: raw, content_type: text/csv}
target: {connection: simacan-stg, endpoint: planning, method: POST}
"""

POSITIONS = """\
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

DEVICES = """\
job: tracking-devices
schedule: {cron: "0 5 * * 1-5", timezone: Europe/Amsterdam, jitter: 2m, missed: latest}
source:
  type: csv
  path: /data/fleet/devices.csv
  delimiter: ";"
  types: {id: VARCHAR, plate: VARCHAR, active: BOOLEAN}
  only: {changed_by: [id]}                   # a hash per key is kept: new and changed records only
body:
  format: json
  per: record
  nulls: drop                                # or: keep (the default)
  map: {externalSystemId: acme-fms, externalDeviceId: =id, customerDeviceId: =id, licensePlate: =plate, carrierCode: =carrier, active: =active}
target: {connection: simacan-stg, endpoint: devices, method: POST}
"""

TRACKING = """\
job: sct-tracking
schedule: {every: 1m}
source: {type: sql, connection: tms-db, query: "SELECT id, trip_id, ts, heading, speed, lon, lat FROM realisation WHERE id > :id ORDER BY id LIMIT 10000", cursor: [id]}
body:
  format: xml
  per: batch
  root: {name: "tc:realisation", namespaces: {tc: "http://api.transportcloud.io/schemas/carrier/v1/realisation"}}
  each: tripRealisation
  map: {tripId: =trip_id, timestamp: =utc(ts), heading: =heading, speed: =speed, x: =lon, y: =lat}
batch: {records: 100, bytes: 1MB}
target: {connection: simacan-stg, endpoint: tracking, method: POST, success: [200, 204]}
"""
