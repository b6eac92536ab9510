"""oidc-provider on Node: a consumed refresh token that comes again revokes the grant and all that it gave."""

from __future__ import annotations

import pytest

from tests.conformance.harness import OidcProvider
from tests.conformance.life import Life, Relay, plumbing
from tests.conformance.suite import Conformance
from tests.conformance.suite_daemon import WithTheDaemon


@pytest.fixture
def server(oidc_provider):
    return oidc_provider


class TestOidcProvider(Conformance, WithTheDaemon):
    """All of them."""


async def test_while_the_server_is_away_nobody_logs_in_and_one_that_forgot_everything_costs_one_login(
    tmp_path, pytestconfig
):
    def begin(name):
        folder = tmp_path / name
        folder.mkdir()
        return OidcProvider(folder, pytestconfig.cache.mkdir("conformance"))

    async with plumbing() as (front, http):
        first = begin("first")
        life = Life(tmp_path, Relay(front, first, http), http)
        try:
            life.configure("oauth_password")
            session = await life.start()
            assert await life.deliver(await session.sign()) == 204
        finally:
            first.close()
        life.clock.jump(3600)
        for _ in range(5):
            why, error = await life.refused(session)
            assert "refresh failed: 502" in why
            life.clock.jump(error.retry_after)
        assert len(life.relay.asked()) == 1
        life.relay.server = begin("second")
        try:
            assert await life.deliver(await session.sign()) == 204
            assert [(one.form["grant_type"], one.status) for one in life.relay.asked()] == [
                ("password", 200),
                ("refresh_token", 400),
                ("password", 200),
            ]
        finally:
            await life.stop()
            life.relay.server.close()
