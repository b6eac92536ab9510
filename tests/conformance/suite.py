"""What holds at every OAuth server whose refresh tokens rotate and whose reuse is noticed.

Each `test_*.py` beside runs it against one server: its own `server` fixture, and a class that inherits.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.harness import CLIENTS, SCOPE
from tests.conformance.life import token_of


class Conformance:
    # ------------------------------------------------------------------ what is taken for granted below

    @pytest.mark.parametrize("client", ["basic", "body", "public"])
    async def test_the_server_rotates_and_its_family_dies_when_a_used_token_comes_again(self, server, client):
        client = CLIENTS[client]
        seed = await server.seed(client)
        assert await server.refresh_token_lives(seed)
        status, second = await server.replay(seed, client)
        assert status == 200
        assert second["refresh_token"] != seed
        assert not await server.refresh_token_lives(seed)
        status, third = await server.replay(second["refresh_token"], client)
        assert status == 200
        assert await server.active(third["access_token"])
        assert await server.refresh_token_lives(third["refresh_token"])
        status, answer = await server.replay(seed, client)
        assert (status, answer["error"]) == (400, "invalid_grant")
        assert not await server.active(third["access_token"])
        assert not await server.refresh_token_lives(third["refresh_token"])

    async def test_the_server_can_end_an_access_token_alone(self, server):
        _, given = await server.replay(await server.seed())
        assert await server.active(given["access_token"])
        await server.end(given["access_token"])
        assert not await server.active(given["access_token"])
        assert await server.refresh_token_lives(given["refresh_token"])
        assert (await server.replay(given["refresh_token"]))[0] == 200

    # ------------------------------------------------------------------ signing in

    @pytest.mark.parametrize("client", ["basic", "body", "public"])
    async def test_a_person_signs_in_and_is_taken_by_the_target(self, life, client):
        life.configure("oauth_password", client)
        signed = await (await life.start()).sign()
        (asked,) = life.relay.asked()
        assert asked.form["grant_type"] == "password"
        assert asked.form["scope"] == SCOPE
        assert asked.authorization.startswith("Basic ") == (client == "basic")
        assert ("client_secret" in asked.form) == (client == "body")
        assert ("client_id" in asked.form) == (client != "basic")
        assert await life.deliver(signed) == 204
        assert await life.server.active(token_of(signed))

    @pytest.mark.parametrize("client", ["machine", "machine body"])
    async def test_a_machine_signs_in_and_renews_by_the_same_call(self, life, client):
        life.configure("client_credentials", client)
        session = await life.start()
        first = await session.sign()
        second = await life.expire(session)
        assert [one.form["grant_type"] for one in life.relay.asked()] == ["client_credentials"] * 2
        assert [one.status for one in life.relay.asked()] == [200, 200]
        assert token_of(first) != token_of(second)
        assert await life.deliver(second) == 204
        assert await life.server.active(token_of(second))

    @pytest.mark.parametrize("client", ["basic", "body", "public"])
    async def test_a_first_refresh_token_from_a_secret_is_used_once_and_then_its_heirs(self, life, client):
        seed = await life.server.seed(CLIENTS[client])
        life.secret("first_refresh_token", seed)
        life.configure("refresh_token", client)
        session = await life.start()
        assert await life.deliver(await session.sign()) == 204
        await life.stop()
        session = await life.start()
        assert await life.deliver(await life.expire(session)) == 204
        assert await life.deliver(await life.expire(session)) == 204
        asked = life.relay.asked()
        assert [one.form["grant_type"] for one in asked] == ["refresh_token"] * 3
        assert [one.status for one in asked] == [200] * 3
        assert asked[0].form["refresh_token"] == seed
        assert [one.form["refresh_token"] for one in asked[1:]] == [
            one.answer["refresh_token"] for one in asked[:-1]
        ]

    async def test_audience_and_fields_of_ones_own_are_sent_and_hurt_nothing(self, life):
        life.secret("tenant", "north & south")
        extra = {"tenant": {"secret": "tenant"}, "device": "truck 7"}
        life.configure("oauth_password", audience="https://api.example.com", extra=extra)
        session = await life.start()
        await session.sign()
        assert await life.deliver(await life.expire(session)) == 204
        login, refresh = life.relay.asked()
        assert login.form["audience"] == "https://api.example.com"
        for asked in (login, refresh):
            assert (asked.form["tenant"], asked.form["device"]) == ("north & south", "truck 7")

    # ------------------------------------------------------------------ rotation

    async def test_twenty_refreshes_in_a_row_each_leave_a_dead_token_behind(self, life):
        life.configure("oauth_password")
        session = await life.start()
        await session.sign()
        for _ in range(20):
            signed = await life.expire(session)
            used, given = life.relay.asked()[-2:]
            assert given.form["refresh_token"] == used.answer["refresh_token"]
            assert not await life.server.refresh_token_lives(used.answer["refresh_token"])
            assert await life.server.refresh_token_lives(given.answer["refresh_token"])
            assert token_of(signed) == given.answer["access_token"]
        assert await life.deliver(signed) == 204
        assert [one.form["grant_type"] for one in life.relay.asked()] == ["password"] + ["refresh_token"] * 20
        assert session.status().generation == 21

    async def test_auth_01_fifty_tasks_at_the_end_of_a_token_are_one_request(self, life):
        life.configure("oauth_password")
        session = await life.start()
        before = len(life.server.tokens())
        await asyncio.gather(*(session.sign() for _ in range(50)))
        life.clock.jump(3600)
        signed = await asyncio.gather(*(session.sign() for _ in range(50)))
        assert [one.form["grant_type"] for one in life.relay.asked()] == ["password", "refresh_token"]
        assert [one["grant"] for one in life.server.tokens()[before:]] == ["password", "refresh_token"]
        assert len({token_of(one) for one in signed}) == 1
        assert await life.deliver(signed[0]) == 204

    async def test_a_restart_goes_on_with_the_stored_pair(self, life):
        life.configure("oauth_password")
        first = await (await life.start()).sign()
        for _ in range(3):
            await life.stop()
            session = await life.start()
            assert token_of(await session.sign()) == token_of(first)
        assert len(life.relay.asked()) == 1
        await life.stop()
        session = await life.start()
        assert await life.deliver(await life.expire(session)) == 204
        assert [one.form["grant_type"] for one in life.relay.asked()] == ["password", "refresh_token"]

    async def test_a_token_that_ends_early_is_renewed_once_for_all_who_met_the_401(self, life):
        life.configure("oauth_password")
        session = await life.start()
        signed = await session.sign()
        await life.server.end(token_of(signed))
        assert await life.deliver(signed) == 401
        await asyncio.gather(*(session.rejected(signed.generation) for _ in range(50)))
        assert await life.deliver(await session.sign()) == 204
        assert [(one.form["grant_type"], one.status) for one in life.relay.asked()] == [
            ("password", 200),
            ("refresh_token", 200),
        ]

    async def test_a_token_that_was_revoked_elsewhere_is_replaced_at_the_first_401(self, life):
        life.configure("oauth_password")
        session = await life.start()
        signed = await session.sign()
        await life.server.revoke(token_of(signed))
        assert await life.deliver(signed) == 401
        await asyncio.gather(*(session.rejected(signed.generation) for _ in range(50)))
        assert await life.deliver(await session.sign()) == 204
        assert len(life.relay.asked("refresh_token")) == 1
        # A server may let the refresh token die with its access token.
        assert len(life.relay.asked("password")) == 1 + (life.relay.asked("refresh_token")[0].status != 200)

    # ------------------------------------------------------------------ reuse

    async def test_auth_12_a_lost_answer_is_replayed_once_and_the_revoked_family_is_healed_by_one_login(
        self, life
    ):
        life.configure("oauth_password")
        session = await life.start()
        first = await session.sign()
        life.relay.lose = 1
        healed = await life.expire(session)
        told = [(one.form["grant_type"], one.status) for one in life.relay.asked()]
        assert told == [("password", 200), ("refresh_token", 200), ("refresh_token", 400), ("password", 200)]
        lost, replayed = life.relay.asked("refresh_token")
        assert replayed.form["refresh_token"] == lost.form["refresh_token"]
        assert replayed.answer["error"] == "invalid_grant"
        assert not await life.server.refresh_token_lives(lost.answer["refresh_token"])
        assert not await life.server.active(lost.answer["access_token"])
        assert token_of(healed) != token_of(first)
        assert await life.deliver(healed) == 204
        await life.expire(session)
        assert len(life.relay.asked("password")) == 2

    async def test_a_login_whose_answer_is_lost_is_made_again_after_a_pause(self, life):
        life.configure("oauth_password")
        life.relay.lose = 1
        session = await life.start()
        why, error = await life.refused(session)
        assert "the answer of login was lost" in why
        life.clock.jump(error.retry_after)
        assert await life.deliver(await session.sign()) == 204
        assert [one.form["grant_type"] for one in life.relay.asked()] == ["password"] * 2
        assert session.status().failures == 0

    async def test_a_lost_answer_without_a_password_waits_for_another_seed_and_says_so(self, life):
        life.secret("first_refresh_token", await life.server.seed())
        life.configure("refresh_token")
        session = await life.start()
        await session.sign()
        life.relay.lose = 1
        life.clock.jump(3600)
        why, _ = await life.refused(session)
        assert "is used up, or was refused (400 Bad Request: invalid_grant" in why
        assert "put a new refresh token into the secret" in why
        assert session.status().state == "blocked"
        asked = len(life.relay.asked())
        assert asked == 3
        for _ in range(3):
            await life.stop()
            session = await life.start()
            why, _ = await life.refused(session)
            assert "put a new refresh token into the secret" in why
        # Nothing that is known to be dead is sent again, over restarts too.
        assert len(life.relay.asked()) == asked
        life.secret("first_refresh_token", await life.server.seed())
        await life.stop()
        session = await life.start()
        assert await life.deliver(await session.sign()) == 204
        assert session.status().state == "signed in"

    async def test_a_thief_who_replays_an_old_token_costs_one_login_and_gets_nothing(self, life):
        life.configure("oauth_password")
        session = await life.start()
        await session.sign()
        signed = await life.expire(session)
        stolen = life.relay.asked("refresh_token")[0].form["refresh_token"]
        status, answer = await life.server.replay(stolen)
        assert (status, answer["error"]) == (400, "invalid_grant")
        assert await life.deliver(signed) == 401
        await asyncio.gather(*(session.rejected(signed.generation) for _ in range(50)))
        assert await life.deliver(await session.sign()) == 204
        assert [(one.form["grant_type"], one.status) for one in life.relay.asked()] == [
            ("password", 200),
            ("refresh_token", 200),
            ("refresh_token", 400),
            ("password", 200),
        ]
        for _ in range(3):
            assert (await life.server.replay(stolen))[0] == 400
            assert await life.deliver(await life.expire(session)) == 204
        assert len(life.relay.asked("password")) == 2

    async def test_a_thief_who_was_first_is_thrown_out_by_our_refresh_and_we_sign_in_once(self, life):
        life.configure("oauth_password")
        session = await life.start()
        await session.sign()
        stolen = life.relay.asked()[0].answer["refresh_token"]
        status, thiefs = await life.server.replay(stolen)
        assert status == 200
        assert await life.deliver(await life.expire(session)) == 204
        assert not await life.server.active(thiefs["access_token"])
        assert not await life.server.refresh_token_lives(thiefs["refresh_token"])
        assert [one.form["grant_type"] for one in life.relay.asked()] == [
            "password",
            "refresh_token",
            "password",
        ]

    # ------------------------------------------------------------------ errors (RFC 6749, section 5.2)

    async def test_auth_28_a_wrong_password_is_told_and_three_logins_are_all_over_restarts(self, life):
        life.secret("password", "wrong")
        life.configure("oauth_password")
        why = await self._until_blocked(life, "invalid_grant")
        assert "the login was refused: 400 Bad Request: invalid_grant" in why
        assert "check username and password" in why
        for _ in range(20):
            await life.stop()
            await life.refused(await life.start())
        assert [one.answer["error"] for one in life.relay.asked()] == ["invalid_grant"] * 3
        await life.stop()
        life.secret("password", "wrong again")
        await life.refused(await life.start())
        assert len(life.relay.asked()) == 4

    async def test_a_password_that_was_mended_signs_in_at_once(self, life):
        good = (life.config / "secrets/password").read_text()
        life.secret("password", "wrong")
        life.configure("oauth_password")
        await self._until_blocked(life, "invalid_grant")
        await life.stop()
        life.secret("password", good)
        assert await life.deliver(await (await life.start()).sign()) == 204

    @pytest.mark.parametrize(
        ("kind", "client"),
        [
            ("oauth_password", "basic"),
            ("oauth_password", "body"),
            ("client_credentials", "machine"),
            ("client_credentials", "machine body"),
        ],
    )
    async def test_a_wrong_client_secret_is_told_and_the_limit_of_logins_holds(self, life, kind, client):
        life.configure(kind, client)
        life.secret("client_secret", "wrong-secret-0123456789")
        why = await self._until_blocked(life, "invalid_client")
        assert "the login was refused: 401 Unauthorized: invalid_client" in why
        assert "check `client.id` and its secret" in why
        assert [(one.status, one.answer["error"]) for one in life.relay.asked()] == [
            (401, "invalid_client")
        ] * 3

    async def test_a_client_secret_that_went_wrong_later_costs_no_login(self, life):
        life.configure("oauth_password")
        session = await life.start()
        await session.sign()
        life.secret("client_secret", "wrong-secret-0123456789")
        life.clock.jump(3600)
        why, _ = await life.refused(session)
        assert "refresh was refused: 401 Unauthorized: invalid_client" in why
        assert "check `client.id` and its secret" in why
        assert [one.form["grant_type"] for one in life.relay.asked()] == ["password", "refresh_token"]
        await life.stop()
        life.secret("client_secret", CLIENTS["basic"].secret)
        assert await life.deliver(await (await life.start()).sign()) == 204
        assert [one.form["grant_type"] for one in life.relay.asked()] == [
            "password",
            "refresh_token",
            "refresh_token",
        ]

    async def test_a_scope_that_the_server_does_not_give_is_told(self, life):
        life.configure("client_credentials", "machine", scope=life.server.strange_scope)
        why, _ = await life.refused(await life.start())
        assert "400 Bad Request: invalid_scope" in why
        assert "check `auth.scope`" in why
        assert [one.answer["error"] for one in life.relay.asked()] == ["invalid_scope"]

    async def test_a_person_cannot_ask_for_a_strange_scope_either(self, life):
        life.configure("oauth_password", scope="nonsense")
        why = await self._until_blocked(life, "invalid_scope")
        assert "check `auth.scope`" in why
        assert len(life.relay.asked()) == 3

    async def test_a_dead_seed_is_told_with_the_servers_words(self, life):
        life.secret("first_refresh_token", "never-given-by-anybody")
        life.configure("refresh_token")
        why, _ = await life.refused(await life.start())
        assert "(400 Bad Request: invalid_grant" in why
        assert "never-given-by-anybody" not in why
        assert len(life.relay.asked()) == 1

    async def _until_blocked(self, life, word):
        """Try as a lane does until the limit of logins holds; the words of the last refusal with `word`."""
        session = await life.start()
        last = ""
        for _ in range(10):
            why, error = await life.refused(session)
            last = why if word in why else last
            if session.status().state == "blocked":
                break
            life.clock.jump(error.retry_after or 1)
        assert session.status().state == "blocked"
        assert last, "the server's word was never shown"
        return last
