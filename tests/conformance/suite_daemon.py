"""The same servers with the real daemon: files in, requests at a target that checks tokens itself.

The tests live in the loop of the relay, so whatever blocks goes to a thread.
"""

from __future__ import annotations

import asyncio
import json
from itertools import count, groupby

from tests.conformance.harness import CLIENTS, PERSON
from tests.conformance.life import signing_in
from tests.support.stage import FILES
from tests.support.world import World

_NUMBERS = count()


class Scene:
    """A world with one connection and one job, whose files have numbers."""

    def __init__(self, folder, server, relay):
        self.server = server
        self.relay = relay
        self.name = f"scene{next(_NUMBERS)}"
        self.world = World(folder / "world", server.url)
        for name, value in {**PERSON, "client_secret": CLIENTS["basic"].secret}.items():
            self.world.secret(name, value)
        job = FILES.format(
            name=self.name,
            drop=self.world.drop,
            connection="platform",
            endpoint="in",
            source="",
            target="",
            settle="0s",
        )
        self.world.job(self.name, job)
        self._put = 0
        self._kills = 0

    def configure(self, kind):
        connection = {
            "connection": "platform",
            "type": "http",
            "auth": signing_in(kind, self.relay.url, "basic"),
            "endpoints": {"in": self.server.deliveries_url},
        }
        (self.world.config / "connections/platform.yaml").write_text(json.dumps(connection))

    async def start(self):
        await asyncio.to_thread(self.world.start)

    async def kill(self):
        self._kills += 1
        await asyncio.to_thread(self.world.kill)

    def put(self, files):
        for _ in range(files):
            fresh = self.world.drop / "file.tmp"
            fresh.write_text(self._body(self._put))
            fresh.rename(self.world.drop / f"{self._put:06}.csv")
            self._put += 1

    def _body(self, number):
        return f"{self.name},{number}\n"

    def arrived(self):
        return [body for body in self.server.delivered() if body.startswith(f"{self.name},")]

    async def all_arrived(self):
        """Wait until every file is there, in order; a kill may repeat the one that was under way."""
        wanted = [self._body(number) for number in range(self._put)]
        await self._until(lambda: set(self.arrived()) >= set(wanted), "all files arrived")
        arrived = self.arrived()
        assert [body for body, _ in groupby(arrived)] == wanted
        assert len(arrived) - len(wanted) <= self._kills

    async def waits(self, words):
        """Wait until `status` gives a reason that holds these words; the reason."""

        def why():
            told = "; ".join(lane["why"] for lane in self.world.live(self.name)["lanes"])
            return told if words in told else ""

        return await self._until(why, f"status explains a wait with {words!r}")

    async def _until(self, condition, what):
        return await asyncio.to_thread(self.world.until, condition, what)

    async def robbed(self):
        """A thief uses the daemon's newest refresh token twice, which costs the whole family its life."""
        stolen = self.relay.exchanges[-1].answer["refresh_token"]
        assert (await self.server.replay(stolen))[0] == 200
        status, answer = await self.server.replay(stolen)
        assert (status, answer["error"]) == (400, "invalid_grant")

    async def ended(self):
        """The daemon's access token is over before its time."""
        await self.server.end(self.relay.exchanges[-1].answer["access_token"])

    def asked(self):
        return [(one.form["grant_type"], one.status) for one in self.relay.asked()]

    def secrets(self):
        """All that no log may hold."""
        given = [
            one.answer.get(name) for one in self.relay.asked() for name in ("access_token", "refresh_token")
        ]
        return [*filter(None, given), PERSON["password"], CLIENTS["basic"].secret]


class WithTheDaemon:
    async def test_files_arrive_over_a_kill_and_a_theft_with_one_login_each(self, scene):
        scene.configure("oauth_password")
        await scene.start()
        scene.put(10)
        await scene.all_arrived()
        await scene.kill()
        scene.put(10)
        await scene.start()
        await scene.all_arrived()
        assert scene.asked() == [("password", 200)]
        await scene.robbed()
        scene.put(20)
        await scene.all_arrived()
        assert scene.asked() == [("password", 200), ("refresh_token", 400), ("password", 200)]
        await scene.kill()
        await scene.start()
        scene.put(10)
        await scene.all_arrived()
        assert len(scene.asked()) == 3
        logged = scene.world.logged()
        assert "invalid_grant" in logged
        assert [secret for secret in scene.secrets() if secret in logged] == []

    async def test_auth_10_a_kill_between_the_rotation_and_its_answer_costs_one_login(self, scene):
        scene.configure("oauth_password")
        await scene.start()
        scene.put(5)
        await scene.all_arrived()
        await scene.ended()
        scene.relay.hold = True
        scene.put(5)
        await scene.relay.held.wait()
        await scene.kill()
        await scene.start()
        await scene.all_arrived()
        assert scene.asked() == [
            ("password", 200),
            ("refresh_token", 200),
            ("refresh_token", 400),
            ("password", 200),
        ]

    async def test_files_arrive_over_tokens_that_end_early_with_one_login(self, scene):
        scene.configure("oauth_password")
        await scene.start()
        scene.put(5)
        await scene.all_arrived()
        await scene.ended()
        scene.put(5)
        await scene.all_arrived()
        await scene.kill()
        await scene.ended()
        await scene.start()
        scene.put(5)
        await scene.all_arrived()
        assert scene.asked() == [("password", 200), ("refresh_token", 200), ("refresh_token", 200)]

    async def test_without_a_password_a_theft_is_told_and_a_new_seed_goes_on_where_it_stopped(self, scene):
        scene.world.secret("first_refresh_token", await scene.server.seed())
        scene.configure("refresh_token")
        await scene.start()
        scene.put(5)
        await scene.all_arrived()
        await scene.robbed()
        scene.put(5)
        why = await scene.waits("invalid_grant")
        assert "is used up, or was refused" in why
        assert len(scene.asked()) == 2
        scene.world.secret("first_refresh_token", await scene.server.seed())
        await scene.all_arrived()
        assert scene.asked() == [("refresh_token", 200), ("refresh_token", 400), ("refresh_token", 200)]
        logged = scene.world.logged()
        assert [secret for secret in scene.secrets() if secret in logged] == []
