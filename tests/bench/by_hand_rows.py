"""Rows as people read them: csv, sqlite3, psycopg with a server-side cursor. Part of the scripts by hand."""

from __future__ import annotations

import csv
import sqlite3

QUERY = "SELECT id, recorded_at, plate, lat, lon, speed_kmh, heading, shipper FROM positions ORDER BY id"


def rows(source):
    if source.startswith("postgresql:"):
        import psycopg  # noqa: PLC0415 - only there

        with psycopg.connect(source) as connection, connection.cursor("rows") as cursor:
            cursor.itersize = 10_000
            cursor.execute(QUERY)
            names = [column.name for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))
    elif source.endswith(".db"):
        connection = sqlite3.connect(source)
        cursor = connection.execute(QUERY)
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))
    else:
        with open(source, newline="") as file:  # noqa: PTH123 - by hand, as people do
            yield from csv.DictReader(file)


def nested(row):
    return {
        "eventType": "locationUpdateEvent",
        "creationDate": row["recorded_at"],
        "lifecycle": "actual",
        "actors": [
            {"entity": {"name": row["shipper"]}, "roles": ["shipper"], "associationType": "inline"},
            {"entity": {"name": "acme-transport"}, "roles": ["carrier"], "associationType": "inline"},
        ],
        "vehicle": {
            "entity": {"vehicleType": "Truck", "licensePlate": row["plate"]},
            "associationType": "inline",
        },
        "geoReference": {
            "type": "latLonPointGeoReference",
            "lat": float(row["lat"]),
            "lon": float(row["lon"]),
            "speed": {"value": int(row["speed_kmh"]), "unit": "km/h"},
            "heading": {"value": int(row["heading"]), "unit": "degrees"},
        },
    }
