from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from tests.support.spool import open_spool


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def spool(state, clock):
    spool = open_spool(state, clock=clock)
    yield spool
    spool.close()


@pytest.fixture
def run(spool):
    return spool.start_run("gps", 1.0, "every", "sha").result()
