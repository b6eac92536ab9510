from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from tests.support.delivery import DeliveryWorld
from tests.support.scripted import ScriptedServer


@pytest.fixture
async def server():
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def world(tmp_path, server):
    """Sleeps cost nothing here: the clock jumps to their end."""
    world = DeliveryWorld(tmp_path, server)
    yield world
    await world.close()


@pytest.fixture
async def still(tmp_path, server):
    """A world whose clock moves only when the test says so."""
    world = DeliveryWorld(tmp_path, server, clock=FakeClock())
    yield world
    await world.close()
