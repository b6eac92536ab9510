from __future__ import annotations

import pytest

from tests.support.pulling import PullWorld
from tests.support.scripted import ScriptedServer


@pytest.fixture
async def server():
    async with ScriptedServer() as one:
        yield one


@pytest.fixture
async def world(tmp_path, server):
    one = PullWorld(tmp_path, server.url)
    yield one
    await one.close()


@pytest.fixture
async def alone(tmp_path):
    """Without a server: for programs."""
    one = PullWorld(tmp_path)
    yield one
    await one.close()
