"""A run of 1,000,000 rows, killed ten times: `PUSH_AGENT_MILLION=1 pytest -n 0 -s tests/databases/test_million.py`."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.support.querying import Place, database, run_child

ROWS = 1_000_000


@pytest.mark.skipif(
    not os.environ.get("PUSH_AGENT_MILLION"), reason="minutes; asked for with PUSH_AGENT_MILLION=1"
)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("table", ["sqlite", "postgresql"], indirect=True)
def test_a_million_rows_arrive_once_whatever_ten_kills_do(table, tmp_path, monkeypatch):
    monkeypatch.setenv("RECORDS", "500")
    table.fill(ROWS)
    table.run("CREATE UNIQUE INDEX t_id ON t (id)")
    query = "SELECT id, grp, name FROM t WHERE id > :id ORDER BY id"
    chosen, kills = random.Random(4), 0
    begun = time.monotonic()
    while kills < 10:
        result = run_child(tmp_path / "state", table.url, query, "id", chosen.randint(30, 70))
        assert result.returncode == -9, result.stdout + result.stderr
        kills += 1
        place = Place(tmp_path / "state", database(table.url))
        print(f"kill {kills}: cursor {place.cursor()}")
        place.close()
    last = time.monotonic()
    assert run_child(tmp_path / "state", table.url, query, "id", 0).stdout.strip() == "done"
    end = time.monotonic()
    place = Place(tmp_path / "state", database(table.url))
    ids = place.ids()
    print(f"{table.kind}: {kills} kills in {last - begun:.1f} s; the run to the end {end - last:.1f} s; "
          f"{len(ids):,} rows, {len(set(ids)):,} different")  # fmt: skip
    assert ids == list(range(1, ROWS + 1))
    place.close()
