"""django-oauth-toolkit: rotation and reuse protection on, tokens hashed at rest, an SQLite database."""

from __future__ import annotations

import pytest

from tests.conformance.harness import DjangoToolkit
from tests.conformance.suite import Conformance
from tests.conformance.suite_daemon import WithTheDaemon


@pytest.fixture
def server(django_toolkit):
    return django_toolkit


class TestDjangoOAuthToolkit(Conformance, WithTheDaemon):
    """All of them."""


@pytest.fixture(scope="module")
def lenient(tmp_path_factory):
    """The same server, whose answers may be lost: it takes the last refresh token again for two minutes."""
    server = DjangoToolkit(tmp_path_factory.mktemp("lenient"), grace=120)
    yield server
    server.close()


class TestWithGrace:
    @pytest.fixture
    def server(self, lenient):
        return lenient

    async def test_auth_12_a_lost_answer_costs_nothing_where_the_server_allows_the_one_replay(self, life):
        life.configure("oauth_password")
        session = await life.start()
        await session.sign()
        life.relay.lose = 1
        assert await life.deliver(await life.expire(session)) == 204
        login, lost, replayed = life.relay.asked()
        assert [one.status for one in (login, lost, replayed)] == [200, 200, 200]
        assert replayed.form["refresh_token"] == lost.form["refresh_token"]
        assert await life.deliver(await life.expire(session)) == 204
        assert life.relay.asked()[-1].form["refresh_token"] == replayed.answer["refresh_token"]
        assert len(life.relay.asked("password")) == 1
