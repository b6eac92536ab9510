"""Any order of restarts, kills, lost answers, dead pairs and new seeds: no seed is sent without need."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import NotSignedIn
from tests.support.auth_world import auth_client
from tests.support.oauth_world import TOKEN, OAuthWorld
from tests.support.scripted import DROP, DROP_UNREAD, Answer, ScriptedServer

ANSWERS = ["ok", "503", "400", "lost", "never heard", "die unheard", "die heard"]
STEPS = st.one_of(
    st.tuples(st.just("use"), st.lists(st.sampled_from(ANSWERS), max_size=2)),
    st.tuples(st.just("target 401"), st.lists(st.sampled_from(ANSWERS), max_size=2)),
    st.tuples(st.just("restart"), st.just([])),
    st.tuples(st.just("pair dies"), st.just([])),
    st.tuples(st.just("new seed"), st.sampled_from(["seed-1", "seed-2", "seed-3"])),
    st.tuples(st.just("tick"), st.sampled_from([10, 700, 4000])),
)


class SeedMachine:
    """Plays steps, and knows for each seed how often it might be sent."""

    def __init__(self, world):
        self.world = world
        self.judged = set()
        self.wrong = []
        self.answers = []
        world.server.script(TOKEN, self.answer)
        self.put("seed-1")
        world.refresh_token()
        self.session = world.start()

    def put(self, name):
        if name not in self.world.endpoint.families:
            self.world.endpoint.seed(name)
        self.world.secret("seed", name)

    def answer(self, request):
        token = request.form["refresh_token"]
        if token in self.judged:
            self.wrong.append(f"{token} was sent again after it was judged")
        kind = self.answers.pop(0) if self.answers else "ok"
        if kind.isdigit():
            return Answer(int(kind))
        if kind in ("never heard", "die unheard"):
            if kind == "die unheard":
                self.world.store.die()
            return DROP_UNREAD
        real = self.world.endpoint.answer(request)
        if kind == "ok":
            self.judged.add(token)
            return real
        if kind == "die heard":
            self.world.store.die()
        return DROP

    async def play(self, step, value):
        world = self.world
        match step:
            case "use":
                self.answers = list(value)
                await self.ask(self.session.sign())
            case "target 401":
                self.answers = list(value)
                await self.ask(self.session.rejected(self.session.status().generation))
            case "restart":
                await self.session.close()
                self.session = world.start()
            case "pair dies":
                world.endpoint.good.update(
                    {family: None for family, token in world.endpoint.good.items() if token != family}
                )
            case "new seed":
                self.put(value)
            case "tick":
                await world.clock.advance(value)
        self.answers = []
        await self.bury()

    async def ask(self, asking):
        asked = asyncio.ensure_future(asking)
        death = asyncio.ensure_future(self.world.store.died.wait())
        await asyncio.wait({asked, death}, return_when=asyncio.FIRST_COMPLETED)
        await self.bury()
        death.cancel()
        await asyncio.wait({asked})
        if asked.exception() is not None and not isinstance(asked.exception(), NotSignedIn):
            raise asked.exception()

    async def bury(self):
        if self.world.store.dead:
            await self.world.kill()
            self.session = self.world.start()

    async def end_well(self):
        """A seed that nobody has seen heals everything, by itself."""
        self.put("seed-last")
        for _ in range(100):
            try:
                signed = await self.session.sign()
                if signed.headers:
                    return
            except NotSignedIn as error:
                await self.world.clock.advance(error.retry_after or 1)
        raise AssertionError("never signed in again")


async def live(steps):
    with tempfile.TemporaryDirectory() as folder:
        async with ScriptedServer() as server, auth_client() as client:
            world = OAuthWorld(Path(folder), server, client)
            machine = SeedMachine(world)
            for step, value in steps:
                await machine.play(step, value)
            await machine.end_well()
            await world.close()
            assert machine.wrong == []
            assert server.most_in_flight <= 1


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=3, max_size=14))
def test_no_history_sends_a_seed_that_was_judged_and_a_new_one_always_helps(steps):
    asyncio.run(live(steps))
