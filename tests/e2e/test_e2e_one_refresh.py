"""All that a connection is used for meets one dead token at one moment: one refresh, and no login."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing

import pytest

from tests.support.origin import Origin

SQL = """\
job: {name}
schedule: {{every: 1s}}
source: {{type: sql, connection: fleet, query: "SELECT id FROM {table} WHERE id > :id ORDER BY id", cursor: [id]}}
body: {{format: json, map: {{n: =id}}}}
target: {{connection: {connection}, endpoint: {name}}}
"""
PAGES = """\
job: {name}
schedule: {{every: 1s}}
source: {{type: http, connection: {connection}, endpoint: items}}
body: {{format: json, map: {{n: =n}}}}
target: {{connection: {connection}, endpoint: {name}}}
"""
FILES, TABLES, READERS = (
    [f"{kind}-{number}" for number in range(count)]
    for kind, count in (("file", 3), ("table", 3), ("page", 2))
)


class Barrier(Origin):
    """Looks at a token only when the barrier is open."""

    def __init__(self):
        self.passes = threading.Event()
        self.passes.set()
        self.held = []
        """Paths of the requests that stood before it."""
        self.refused = []
        self.items = []
        super().__init__("barrier")

    def _answer(self, one):
        if "/auth/" in one.path:
            return super()._answer(one)
        if not self.passes.is_set():
            self.held.append(one.path)
        self.passes.wait()
        status, document = super()._answer(one)
        if status == 401:
            self.refused.append(one.path)
        return status, self.items if one.path == "/items" and status == 200 else document

    def expire(self):
        self.good.clear()

    def arrived(self, name):
        """The numbers that were taken."""
        return [
            record["n"]
            for one in self.heard
            if one.path == f"/in/{name}" and one.bearer in self.good
            for record in json.loads(one.body)
        ]

    def close(self):
        self.passes.set()
        super().close()


@pytest.fixture
def barrier():
    one = Barrier()
    yield one
    one.close()


def add(path, number):
    with closing(sqlite3.connect(path)) as database, database:
        for name in TABLES:
            table = name.replace("-", "_")
            database.execute(f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY)")
            database.execute(f"INSERT INTO {table} VALUES (?)", [number])


def test_files_tables_and_pages_that_meet_a_401_at_once_cost_one_refresh_and_no_login(scene, barrier):
    fleet = scene.world.folder / "fleet.db"
    places = {name: f"{barrier.url}/in/{name}" for name in [*FILES, *TABLES, *READERS]}
    scene.connection(auth=barrier.url, endpoints={**places, "items": f"{barrier.url}/items"})
    scene.write("connections/fleet.yaml", f"connection: fleet\ntype: database\nurl: sqlite:///{fleet}\n")
    scene.write("agent.yaml", "web: {listen: off}\ncollect: {concurrency: 8}\n")
    for name in FILES:
        scene.records(name, endpoint=name, folder=name)
        scene.put("1.csv", "n\n1\n", folder=name)
    for form, names in ((SQL, TABLES), (PAGES, READERS)):
        for name in names:
            text = form.format(name=name, connection=scene.name, table=name.replace("-", "_"))
            scene.write(f"jobs/{name}.yaml", text)
    add(fleet, 1)
    scene.world.start()
    scene.world.until(
        lambda: all(barrier.arrived(name) for name in [*FILES, *TABLES]), "files and tables are signed in"
    )
    scene.world.until(lambda: len(barrier.of("/items")) >= 2, "and so are the readers")
    assert not barrier.refused

    barrier.passes.clear()
    for name in FILES:
        scene.put("2.csv", "n\n2\n", folder=name)
    add(fleet, 2)
    scene.world.until(lambda: len(barrier.held) == 8, "eight requests are under way")
    barrier.expire()
    barrier.items = [{"n": 3}]
    barrier.passes.set()

    scene.world.until(lambda: all(barrier.arrived(name) for name in places), "all of it arrived")
    assert [barrier.arrived(name) for name in FILES] == [["2"]] * 3
    assert [barrier.arrived(name) for name in TABLES] == [[2]] * 3
    assert all(set(barrier.arrived(name)) == {3} for name in READERS)
    assert len(barrier.of("/auth/password")) == 1
    assert len(barrier.of("/auth/refresh")) == 1
    everybody = [f"/in/{name}" for name in [*FILES, *TABLES]] + ["/items"] * 2
    assert sorted(barrier.refused) == sorted(barrier.held) == sorted(everybody)
