from __future__ import annotations

import asyncio

import pytest

for _module in ("harness", "life", "suite", "suite_daemon"):
    pytest.register_assert_rewrite(f"tests.conformance.{_module}")

from tests.conformance.harness import DjangoToolkit, OidcProvider  # noqa: E402
from tests.conformance.life import Life, Relay, plumbing  # noqa: E402
from tests.conformance.suite_daemon import Scene  # noqa: E402


@pytest.fixture(scope="session")
def django_toolkit(tmp_path_factory):
    server = DjangoToolkit(tmp_path_factory.mktemp("django-oauth-toolkit"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def oidc_provider(tmp_path_factory, pytestconfig):
    server = OidcProvider(tmp_path_factory.mktemp("oidc-provider"), pytestconfig.cache.mkdir("conformance"))
    yield server
    server.close()


@pytest.fixture
async def life(tmp_path, server):
    async with plumbing() as (front, http):
        life = Life(tmp_path, Relay(front, server, http), http)
        yield life
        await life.stop()


@pytest.fixture
async def scene(tmp_path, server):
    async with plumbing() as (front, http):
        scene = Scene(tmp_path, server, Relay(front, server, http))
        yield scene
        await asyncio.to_thread(scene.world.close)
