"""Any order of callers, refusals, odd answers, lost answers, kills and clock jumps.

Twice: many histories in simulated time (`tests/support/histories.py`: the same seeds every time), and fewer,
chosen by hypothesis, against a real HTTP server.

    PUSH_AGENT_HISTORIES=10000 pytest -n 2 tests/auth/test_session_machine.py     # as many as you like
    PUSH_AGENT_SEED=4711 pytest -n 0 tests/auth/test_session_machine.py           # one of them
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.auth import Signed
from agent.auth.memory import SessionMemory
from agent.auth.pause import Pause
from agent.auth.renewal import Renewal
from agent.auth.token import Token
from agent.errors import NotSignedIn
from tests.support.auth_world import LOGIN, REFRESH, World, auth_client
from tests.support.clock import turns
from tests.support.histories import history_of, play, shrink
from tests.support.scripted import DROP, DROP_UNREAD, Answer, ScriptedServer

HISTORIES = int(os.environ.get("PUSH_AGENT_HISTORIES", "600"))
LOT = 100
"""Histories of one test: some seconds, whatever the number of all."""
SEED = os.environ.get("PUSH_AGENT_SEED")
LOTS = [[int(SEED)]] if SEED else [range(at, min(at + LOT, HISTORIES)) for at in range(0, HISTORIES, LOT)]


@pytest.mark.parametrize("seeds", LOTS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_every_history_keeps_to_the_protocol_and_ends_with_everything_delivered(seeds):
    told = []
    for seed in seeds:
        history = history_of(seed)
        if play(history).wrong:
            least = shrink(history)
            told.append(f"seed {seed}: {least}\n    " + "\n    ".join(play(least).wrong[:5]))
    assert not told, "\n".join(told)


def test_histories_do_what_they_are_for():
    histories = [history_of(seed) for seed in range(LOT)]
    steps = Counter(step[0] for history in histories for step in history.steps)
    assert min(steps.values()) >= 10
    assert len(steps) == 17
    played = [play(history) for history in histories]
    assert sum(one.lives - 1 for one in played) > 60
    assert sum(one.logins > 1 for one in played) > 10
    assert sum(one.refreshes for one in played) > 200
    assert max(history.lanes for history in histories) == 64


def test_a_history_is_the_same_every_time():
    assert [play(history_of(seed)) for seed in range(10)] == [play(history_of(seed)) for seed in range(10)]


async def _nothing(*_, **__):
    return None


async def _use_at_once(self, grant, sent, old, **more):
    """As `keep`, but nobody waits until the pair is durable."""
    _TASKS.append(asyncio.ensure_future(_KEEP(self, grant, sent, old, **more)))
    await asyncio.sleep(0.001)  # simulated; the store takes twice as long
    generation = self.row.generation
    return Token(
        access=grant.access, refresh=grant.refresh, generation=generation, obtained=sent, lifetime=60.0
    )


_KEEP, _TASKS = SessionMemory.keep, []
FAULTS = {
    "no intent": (SessionMemory, "intend", _nothing, "before its intent was durable"),
    "used before it is stored": (SessionMemory, "keep", _use_at_once, "was used before it was durable"),
    "replays without end": (Renewal, "_may_replay", lambda *_: True, "replayed"),
    "two renewals at a time": (SessionMemory, "turn", lambda _: asyncio.Lock(), "by two sessions at once"),
    "failed logins are not counted": (SessionMemory, "count_login", _nothing, "within the pause"),
    "pauses without end": (Pause, "next", lambda *_, **__: 1e5, "wait though they could be signed in"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_put_into_the_agent_is_found(fault, monkeypatch):
    place, name, broken, words = FAULTS[fault]
    monkeypatch.setattr(place, name, broken)
    assert any(words in wrong for seed in range(400) for wrong in play(history_of(seed)).wrong)


ODD = ["503", "429", "400", "html", "cut", "never heard", "lost", "damaged"]
DEADLY = ["die unheard", "die heard"]
LOGIN_ANSWERS = ["ok", "503", "lost", "die heard"]
ANSWERS = st.lists(st.sampled_from(["ok", *ODD, *DEADLY]), max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("sign"), st.integers(1, 5)),
    st.tuples(st.just("target 401"), ANSWERS),
    st.tuples(st.just("target 401"), ANSWERS),
    st.tuples(st.just("time is up"), ANSWERS),
    st.tuples(st.just("old 401"), st.just(0)),
    st.tuples(st.just("login answers"), st.lists(st.sampled_from(LOGIN_ANSWERS), max_size=2)),
    st.tuples(st.just("refresh token dies"), st.just(0)),
    st.tuples(st.just("die at write"), st.tuples(st.integers(0, 2), st.booleans())),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("tick"), st.sampled_from([1, 20, 31, 300, 3545, 3700])),
    st.tuples(st.just("suspend"), st.sampled_from([10, 7200])),
    st.tuples(st.just("step wall"), st.sampled_from([-7200, -5, 5, 7200])),
)


class Machine:
    """Plays steps, and looks at every request as the server sees it."""

    def __init__(self, world):
        self.world = world
        self.session = world.start()
        self.refresh_answers = []
        self.login_answers = []
        self.may_log_in = True
        self.last = {}
        """Refresh token → how its last sending ended."""
        self.at_once = Counter()
        self.wrong = []
        world.server.script(REFRESH, self.on_refresh)
        world.server.script(LOGIN, self.on_login)
        self._watch_store()

    def _watch_store(self):
        store = self.world.store
        write = store.store_session

        async def watched(row):
            before = row.sealed is not None and not store.failing
            await write(row)
            if before:
                self.may_log_in = False

        store.store_session = watched

    def on_refresh(self, request):
        token = request.form["refresh_token"]
        if self.last.get(token) == "ok":
            self.wrong.append(f"{token} sent again after it was answered well")
        moment = (len(self.world.stores), token, self.world.clock.boottime())
        self.at_once[moment] += 1
        if self.at_once[moment] > 2:
            self.wrong.append(f"{token} sent three times at once")
        answer = self.refresh_answers.pop(0) if self.refresh_answers else "ok"
        self.last[token] = answer
        return self._answer(answer, lambda: self._real_refresh(request))

    def _real_refresh(self, request):
        answer = self.world.api.refresh(request)
        if answer.status == 401:
            self.may_log_in = True
            self.last[request.form["refresh_token"]] = "ok"
        return answer

    def on_login(self, request):
        if not self.may_log_in:
            self.wrong.append("a password was sent that nobody asked for")
        answer = self.login_answers.pop(0) if self.login_answers else "ok"
        return self._answer(answer, lambda: self.world.api.login(request))

    def _answer(self, kind, real):
        if kind in ("ok", "lost", "damaged", "die heard", "cut"):
            good = real()
            if kind == "ok" or good.status != 200:
                return good
            if kind == "cut":
                return Answer(200, json=good.json, drop="half")
            if kind == "damaged":
                return Answer(200, b'{"access_token": "acc')
        if kind.startswith("die"):
            self.world.store.die()
        if kind == "html":
            return Answer(200, b"<html>")
        return Answer(int(kind)) if kind.isdigit() else DROP_UNREAD if kind == "never heard" else DROP

    async def play(self, step, value):  # noqa: C901 - one case a step
        world, clock = self.world, self.world.clock
        match step:
            case "sign":
                await self.callers([self.session.sign() for _ in range(value)])
            case "target 401":
                self.refresh_answers = list(value)
                generation = self.session.status().generation
                await self.callers([self.session.rejected(generation) for _ in range(3)])
            case "time is up":
                self.refresh_answers = list(value)
                clock.tick(3700)
                await self.callers([self.session.sign() for _ in range(3)])
            case "old 401":
                await self.callers([self.session.rejected(self.session.status().generation - 1)])
            case "login answers":
                self.login_answers = list(value)
            case "refresh token dies":
                world.api.living.clear()
            case "die at write":
                self.die_at(*value)
            case "restart":
                await self.restart()
            case "tick":
                await clock.advance(value)
            case "suspend":
                clock.suspend(value)
            case "step wall":
                clock.step_wall(value)
        await self.bury()

    def die_at(self, countdown, after):
        left = [countdown]
        store = self.world.store

        def look(_row):
            if left[0] == 0:
                # Without `after` the write never happens; with it, it does and nobody hears of it.
                store.die() if not after else asyncio.get_running_loop().call_soon(store.die)
            left[0] -= 1

        store.before_write = look

    async def callers(self, asking):
        everybody = asyncio.gather(*asking, return_exceptions=True)
        death = asyncio.ensure_future(self.world.store.died.wait())
        async with asyncio.timeout(10):
            await asyncio.wait({everybody, death}, return_when=asyncio.FIRST_COMPLETED)
            await self.bury()
            results = await everybody
        death.cancel()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, NotSignedIn):
                raise result
            if isinstance(result, Signed) and (await self.world.row()).generation < result.generation:
                self.wrong.append("a token was used before it was stored")

    async def restart(self):
        """A stop; or a kill, when we die while stopping."""
        closing = asyncio.ensure_future(self.session.close())
        death = asyncio.ensure_future(self.world.store.died.wait())
        await asyncio.wait({closing, death}, return_when=asyncio.FIRST_COMPLETED)
        if not self.world.store.dead:
            death.cancel()
            self.live_again()
        await self.bury()
        await closing

    async def bury(self):
        """If we were killed: the next life begins. What was in flight is no more excuse for silence."""
        if not self.world.store.dead:
            return
        await self.world.kill()
        for token in self.last:
            self.last[token] = "killed"
        self.live_again()

    def live_again(self):
        self.session = self.world.start()
        self._watch_store()

    async def end_well(self):
        """Everybody is healthy again: so is the session, after no more than the pauses it announced."""
        self.refresh_answers, self.login_answers = [], []
        self.world.store.before_write = None
        for _ in range(100):
            try:
                async with asyncio.timeout(10):
                    signed = await self.session.sign()
                    if signed.headers["Authorization"].removeprefix("Bearer ") in self.world.api.access:
                        return
                    await self.session.rejected(signed.generation)
            except NotSignedIn as error:
                await self.world.clock.advance(error.retry_after or 1)
        raise AssertionError("never signed in again")


async def live(steps):
    with tempfile.TemporaryDirectory() as folder:
        async with ScriptedServer() as server, auth_client() as client:
            world = World(Path(folder), server, client)
            machine = Machine(world)
            for step, value in [("sign", 1), *steps]:
                await machine.play(step, value)
            await turns()
            await machine.bury()
            await machine.end_well()
            await machine.restart()
            await world.close()
            assert machine.wrong == []
            assert server.most_in_flight <= 1


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, min_size=3, max_size=16))
def test_no_history_sends_a_token_or_a_password_too_often_or_leaves_anybody_waiting(steps):
    asyncio.run(live(steps))
