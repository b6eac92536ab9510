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


@pytest.fixture(scope="module")
def constant(tmp_path_factory):
    """The same server, whose refresh tokens stay as they are."""
    server = DjangoToolkit(tmp_path_factory.mktemp("constant"), rotate=False)
    yield server
    server.close()


class TestWithoutRotation:
    @pytest.fixture
    def server(self, constant):
        return constant

    @pytest.mark.parametrize("kind", ["oauth_password", "refresh_token"])
    async def test_one_refresh_token_serves_for_ever_and_a_lost_answer_costs_nothing(self, life, kind):
        life.secret("first_refresh_token", await life.server.seed())
        life.configure(kind)
        for _ in range(2):
            session = await life.start()
            assert await life.deliver(await life.expire(session)) == 204
            life.relay.lose = 1
            assert await life.deliver(await life.expire(session)) == 204
            await life.stop()
        assert [one.status for one in life.relay.asked()] == [200] * len(life.relay.asked())
        assert len({one.form["refresh_token"] for one in life.relay.asked("refresh_token")}) == 1
        assert len(life.relay.asked("password")) == (kind == "oauth_password")

    async def test_a_seed_serves_again_when_the_state_is_lost(self, life):
        life.secret("first_refresh_token", await life.server.seed())
        life.configure("refresh_token")
        for _ in range(2):
            session = await life.start()
            assert await life.deliver(await session.sign()) == 204
            await life.stop()
            (life.state / "state.db").unlink()
        assert [one.form["grant_type"] for one in life.relay.asked()] == ["refresh_token"] * 2
