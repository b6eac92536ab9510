"""Windows of a schedule, through kills: every row once and in order, and the position says how far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.support.trips import Trips
from tests.support.world import SandboxProcess, World

KILLS = 3
AFTER = 3
"""Windows between two kills."""


@pytest.fixture
def trips(tmp_path):
    sandbox = SandboxProcess(tmp_path / "sandbox")
    world = World(tmp_path / "world", sandbox.url)
    world.measured = False
    made = Trips(world, sandbox)
    yield made
    world.close()
    made.close()
    sandbox.close()


def done(trips):
    """How many windows of the schedule are done."""
    return sum(run.state == "done" for run in trips.runs())


@pytest.mark.timeout(170)  # it starts the daemon four times
@pytest.mark.parametrize("missed", ["all", "latest"])
def test_windows_through_kills_bring_every_row_once_and_in_order(trips, missed):
    # Rows of the time to come: they are there long before their window is, and none is written late.
    now = datetime.now(UTC)
    trips.add(now + timedelta(milliseconds=100 * number) for number in range(-100, 3000))
    trips.job(schedule=f"{{every: 1s, missed: {missed}}}")
    for number in range(KILLS):
        trips.world.start()
        trips.world.until(lambda goal=AFTER * (number + 1): done(trips) >= goal, "windows are pulled")
        trips.world.kill()
    trips.world.start()
    trips.world.until(lambda: done(trips) >= AFTER * (KILLS + 1), "it goes on")
    trips.world.stop()

    windows = [(run.since, run.until) for run in trips.runs() if run.state == "done"]
    assert all(left[1] == right[0] for left, right in pairwise(windows))
    assert trips.mark().done == windows[-1][1]
    if missed == "all":
        assert {round(until - since, 3) for since, until in windows} == {1.0}
    trips.world.run("push", "trips", "--limit", "1")
    expected = trips.between(windows[0][0], trips.mark().done)
    assert expected
    arrived = trips.arrived()
    assert arrived == expected, "once each, and in order"
