"""W3: a PostgreSQL and an SQLite table → as W1."""

from __future__ import annotations

import sys
from functools import partial

from tests.bench import config, peers
from tests.bench.data import write_sqlite
from tests.bench.postgres import Postgres
from tests.bench.processes import FailedError, Sink
from tests.bench.result import Race
from tests.bench.w1 import GZIP, HAND, attempt, ours, place, theirs

GOAL = "≥ 500,000 records/s, ≥ 1.5 x by hand"


def race_of(name, records):
    title = f"W3: {name}, {records:,} rows → nested JSON, 500 a request → strict order → acked"
    return Race(title=title, unit="records/s", base=HAND, goal=GOAL)


def run(race, url, source, records, rounds, *, python):
    """`source` is what the script by hand opens."""
    with Sink() as sink:
        for _ in range(rounds):
            attempt(race, GZIP, partial(ours, config.SQL, records, sink, gzip=True, database=url))
            hand = partial(peers.by_hand, python=python)
            attempt(race, HAND, partial(theirs, hand, source, records, sink))
    return race


def measure(records=1_000_000, rounds=2):
    """One race per database."""
    with place() as folder:
        sqlite = race_of("SQLite", records)
        path = write_sqlite(folder / "fleet.db", records)
        run(sqlite, f"sqlite:///{path}", path, records, rounds, python=sys.executable)
        postgres = race_of("PostgreSQL", records)
        try:
            python = peers.python_of("psycopg")
            with Postgres(folder) as server:
                server.fill(records)
                run(postgres, server.url, server.url, records, rounds, python=python)
        except FailedError as error:
            postgres.missing[GZIP] = str(error)
    return [sqlite, postgres]
