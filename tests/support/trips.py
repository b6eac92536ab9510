"""A table of trips in SQLite, a job that pulls it window by window, and what arrived of it."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta

from agent.spool import Reader

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
SLOW = """ AND (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {steps})
    SELECT count(*) FROM c) > 0"""
"""Work for the database, so that a test can step in between two windows."""
JOB = """\
job: trips
schedule: {schedule}
source:
  type: sql
  connection: tms
  query: |
    SELECT id, ts FROM trip WHERE ts >= :since AND ts < :until{more}
    ORDER BY id
body: {{format: json, map: {{id: =id}}}}
target: {{connection: platform, endpoint: ingest}}
"""


class Trips:
    """One row an hour from FIRST on, unless the test makes others."""

    def __init__(self, world, sandbox):
        self.world = world
        self.sandbox = sandbox
        self.before = len(sandbox.recorded())
        self.processes = []
        self.path = world.folder / "tms.db"
        self.con = sqlite3.connect(self.path)
        self.con.execute("CREATE TABLE trip (id INTEGER PRIMARY KEY, ts TEXT NOT NULL)")
        text = f"connection: tms\ntype: database\nurl: sqlite:///{self.path}\n"
        (world.config / "connections/tms.yaml").write_text(text)
        self.job()

    def job(self, schedule='{cron: "0 0 * * *"}', steps=0):
        more = SLOW.format(steps=steps) if steps else ""
        self.world.job("trips", JOB.format(schedule=schedule, more=more))

    def hours(self, count):
        self.add(FIRST + timedelta(hours=number) for number in range(count))

    def add(self, moments):
        rows = [(moment.strftime("%Y-%m-%d %H:%M:%S.%f"),) for moment in moments]
        self.con.executemany("INSERT INTO trip (ts) VALUES (?)", rows)
        self.con.commit()

    def rename(self, old, new):
        self.con.execute(f"ALTER TABLE {old} RENAME TO {new}")
        self.con.commit()

    def between(self, since, until):
        """Ids of the rows in [since, until): seconds since 1970."""
        words = [
            datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%d %H:%M:%S.%f") for each in (since, until)
        ]
        found = self.con.execute("SELECT id FROM trip WHERE ts >= ? AND ts < ? ORDER BY id", words)
        return [row[0] for row in found]

    def runs(self):
        """Oldest first."""
        with Reader.open(self.world.state) as reader:
            return list(reversed(reader.runs("trips", limit=1000)))

    def mark(self):
        """How far the windows of the schedule are."""
        with Reader.open(self.world.state) as reader:
            return next((mark for mark in reader.window_marks() if mark.job == "trips"), None)

    def backfill(self):
        """The last one; None when there is none yet."""
        if not (self.world.state / "state.db").exists():
            return None
        with Reader.open(self.world.state) as reader:
            return next(reversed(reader.backfills()), None)

    def arrived(self):
        """Ids in the order in which they were taken; a request that came twice with its key counts once."""
        found, keys = [], set()
        for request in self.sandbox.recorded()[self.before :]:
            if request["endpoint"].startswith("ingest") and request["status"] == 200:
                if request["key"] not in keys:
                    found += [row["id"] for row in json.loads(request["body"])]
                keys.add(request["key"])
        return found

    def close(self):
        self.con.close()
