"""The records of all workloads: positions of vehicles, the same in a CSV file and in a table."""

from __future__ import annotations

import sqlite3
from itertools import islice

COLUMNS = ("id", "recorded_at", "plate", "lat", "lon", "speed_kmh", "heading", "shipper")
TABLE = (
    "CREATE TABLE positions (id INTEGER PRIMARY KEY, recorded_at TEXT, plate TEXT, "
    "lat DOUBLE PRECISION, lon DOUBLE PRECISION, speed_kmh INTEGER, heading INTEGER, shipper TEXT)"
)
PART = 20_000


def lines(count):
    """Each record as a line of CSV."""
    for i in range(count):
        yield (
            f"{i},2026-10-27T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}+02:00,AA-{i % 1000:03d}-B,"
            f"{50 + i % 30000 / 10000:.5f},{4 + i % 31111 / 10000:.5f},{i % 120},{i % 360},shipper-{i % 7}\n"
        )


def write_csv(path, count):
    with path.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(lines(count))
    return path


def values(line):
    number, time, plate, lat, lon, speed, heading, shipper = line.rstrip("\n").split(",")
    return int(number), time, plate, float(lat), float(lon), int(speed), int(heading), shipper


def write_sqlite(path, count):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(TABLE)
    rows = map(values, lines(count))
    while part := list(islice(rows, PART)):
        database.execute("BEGIN")
        database.executemany("INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", part)
        database.execute("COMMIT")
    database.close()
    return path
