"""Five sources that never end: dropped CSV files, an appended log, an SQLite table, whole files.

What is put in stands in the history, by the path where it must arrive.
"""

from __future__ import annotations

import random
import sqlite3
import zlib
from collections.abc import Callable

from tests.faults.points import SPLITS
from tests.faults.record import History
from tests.support.world import World

CONNECTION = """\
connection: platform
type: http
auth:
  type: password
  url: {url}
  username: {{secret: user}}
  password: {{secret: password}}
  login_limit: {{failures: 5, pause: 5s}}
endpoints: {{rows: {url}/rows, plates: {url}/plates, log: {url}/log, table: {url}/table, plans: {url}/plans}}
accepts: {{gzip: {gzip}}}
limits: {{concurrency: 6}}
"""

# {lanes} and {batch} change by reload; {mark} changes nothing but the text.
JOBS = {
    "rows": """\
job: rows
description: "{mark}"
schedule: {{watch: true, every: 2s}}
source: {{type: csv, path: {drop}/rows/*.csv, settle: 0s, order: [name], types: {{n: BIGINT}}, done: {{move: done/}}, failed: {{move: failed/}}}}
body: {{format: json, map: {{n: =n}}}}
batch: {{records: {batch}}}
target: {{connection: platform, endpoint: rows}}
""",
    "plates": """\
job: plates
description: "{mark}"
schedule: {{watch: true, every: 2s}}
source: {{type: csv, path: {drop}/plates/*.csv, settle: 0s, order: [name], types: {{n: BIGINT}}, done: {{move: done/}}, failed: {{move: failed/}}}}
body: {{format: json, per: record, map: {{k: =plate, n: =n}}}}
target: {{connection: platform, endpoint: plates}}
delivery: {{order: {{by: =plate, lanes: {lanes}}}}}
""",
    "log": """\
job: log
description: "{mark}"
schedule: {{watch: true, every: 1s}}
source: {{type: ndjson, path: {drop}/log/app.ndjson, reread: appended}}
body: {{format: json, map: {{n: =n}}}}
batch: {{records: {batch}}}
target: {{connection: platform, endpoint: log}}
""",
    "table": """\
job: table
description: "{mark}"
schedule: {{every: 1s}}
source:
  type: sql
  connection: fleet
  query: SELECT id, plate FROM position WHERE id > :id ORDER BY id
  cursor: [id]
body: {{format: json, map: {{k: =plate, n: =id}}}}
batch: {{records: {batch}}}
target: {{connection: platform, endpoint: table}}
delivery: {{order: {{by: =plate, lanes: {lanes}}}}}
""",
    "plans": """\
job: plans
description: "{mark}"
schedule: {{watch: true, every: 2s}}
source: {{type: file, path: {drop}/plans/*.csv, settle: 0s, order: [name], done: {{move: done/}}, failed: {{move: failed/}}}}
body: {{format: raw, content_type: text/csv}}
target: {{connection: platform, endpoint: plans}}
""",
}
LANES = {"rows": 1, "log": 1, "plans": 1, "plates": 8, "table": 8}
"""The most that a job ever has."""


class Sources:
    """Writes files and rows; and the jobs that read them."""

    def __init__(self, world: World, history: History, dice: random.Random) -> None:
        self.drop = world.drop
        self._world = world
        self._history = history
        self._dice = dice
        self._counts = dict.fromkeys(JOBS, 0)
        self._half = ""
        self._marks = 0
        history.lanes = {f"/{name}": most for name, most in LANES.items()}
        for name in ("rows", "plates", "log", "plans"):
            (self.drop / name).mkdir()
        self._table = sqlite3.connect(world.folder / "fleet.db", isolation_level=None)
        self._table.execute("PRAGMA journal_mode=WAL")
        self._table.execute("CREATE TABLE position (id INTEGER PRIMARY KEY, plate TEXT)")
        for name in JOBS:
            history.put(f"/{name}", ())

    def close(self) -> None:
        self._table.close()

    # ------------------------------------------------------------------ config

    def configure(self, url: str) -> None:
        config = self._world.config
        gzip = "true" if self._dice.random() < 0.5 else "false"
        (config / "connections/platform.yaml").write_text(CONNECTION.format(url=url, gzip=gzip))
        fleet = f"connection: fleet\ntype: database\nurl: sqlite:///{self._world.folder}/fleet.db\n"
        (config / "connections/fleet.yaml").write_text(fleet)
        for name in JOBS:
            self.change(name)

    def change(self, name: str) -> None:
        """Another number of lanes, another size of batches, another text."""
        self._marks += 1
        text = JOBS[name].format(
            drop=self.drop,
            mark=f"version {self._marks}",
            lanes=self._dice.choice([2, 4, LANES["table"]]),
            batch=self._dice.choice([5, 10, 20]),
        )
        self._world.job(name, text)

    # ------------------------------------------------------------------ data

    @property
    def outstanding(self) -> Callable[[set[tuple[str, int]]], int]:
        total = sum(self._counts.values())
        return lambda arrived: total - len(arrived)

    def feed(self) -> None:
        """A little of something."""
        name = self._dice.choice(list(JOBS))
        getattr(self, f"feed_{name}")()

    def feed_all(self) -> None:
        for name in JOBS:
            getattr(self, f"feed_{name}")()

    def _next(self, name: str, count: int) -> list[int]:
        first = self._counts[name] + 1
        self._counts[name] += count
        return list(range(first, first + count))

    def _plate(self) -> str:
        return f"P-{self._dice.randrange(12)}"

    def _file(self, folder: str, number: int, content: bytes) -> None:
        place = self.drop / folder / f"{number:08}.csv"
        part = place.with_suffix(".part")
        part.write_bytes(content)
        part.rename(place)

    def feed_rows(self, *, bad: bool = False) -> None:
        numbers = self._next("rows", self._dice.randint(1, 40))
        self._history.put("/rows", [("", n) for n in numbers])
        if bad or (SPLITS and self._dice.random() < 0.1):
            self._history.bad.add(("/rows", self._dice.choice(numbers)))
        lines = "".join(f"{n}\n" for n in numbers)
        self._file("rows", numbers[0], f"n\n{lines}".encode())

    def feed_plates(self, *, bad: bool = False) -> None:
        records = [(self._plate(), n) for n in self._next("plates", self._dice.randint(1, 25))]
        self._history.put("/plates", records)
        if bad or self._dice.random() < 0.1:
            self._history.bad.add(("/plates", self._dice.choice(records)[1]))
        lines = "".join(f"{plate},{n}\n" for plate, n in records)
        self._file("plates", records[0][1], f"plate,n\n{lines}".encode())

    def feed_log(self) -> None:
        """Sometimes the last line is half written, until the next time."""
        numbers = self._next("log", self._dice.randint(1, 30))
        self._history.put("/log", [("", n) for n in numbers])
        text = self._half + "".join(f'{{"n": {n}}}\n' for n in numbers)
        cut = len(text) - (self._dice.randint(1, 6) if self._dice.random() < 0.3 else 0)
        self._half = text[cut:]
        self._append(text[:cut])

    def finish_log(self) -> None:
        self._append(self._half)
        self._half = ""

    def _append(self, text: str) -> None:
        with (self.drop / "log/app.ndjson").open("a") as log:
            log.write(text)

    def feed_table(self) -> None:
        records = [(self._plate(), n) for n in self._next("table", self._dice.randint(1, 40))]
        self._history.put("/table", records)
        self._table.execute("BEGIN")
        self._table.executemany("INSERT INTO position VALUES (?, ?)", [(n, plate) for plate, n in records])
        self._table.execute("COMMIT")

    def feed_plans(self, size: int = 0) -> None:
        """Whole files, as bytes that do not compress."""
        number = self._next("plans", 1)[0]
        self._history.put("/plans", [("", number)])
        rest = self._dice.randbytes(size or self._dice.randint(100, 60_000))
        self._file("plans", number, f"plan,{number},{zlib.crc32(rest)}\n".encode() + rest)

    def left_in_folders(self) -> list[str]:
        """Files that were neither moved to done/ nor to failed/; whatever has to do with them."""
        return [
            str(path)
            for name in ("rows", "plates", "plans")
            for path in (self.drop / name).iterdir()
            if path.is_file()
        ]
