from __future__ import annotations

import pytest

from tests.support.auth_world import World, auth_client
from tests.support.oauth_world import OAuthWorld
from tests.support.scripted import ScriptedServer


@pytest.fixture
async def world(tmp_path):
    async with ScriptedServer() as server, auth_client() as client:
        world = World(tmp_path, server, client)
        yield world
        await world.close()


@pytest.fixture
async def oauth(tmp_path):
    async with ScriptedServer() as server, auth_client() as client:
        world = OAuthWorld(tmp_path, server, client)
        yield world
        await world.close()
