"""The other side of a rotating session: an Auth API and a target without a network, and a judge of both.

`Wire` stands where the agent has `aiohttp.ClientSession`: the agent's own code judges what comes out of it. A call
can end wherever a real one can: before it leaves, after the server rotated, in the middle of the answer, too late.
The server goes on with what it was sent, whether the client still lives or not.

The judge knows nothing of the agent's code: it sees requests, answers as they reach the client, and what was
durable at that moment; `wrong` collects what must never happen.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from urllib.parse import parse_qsl

import aiohttp

SHORTEST = 0.19
"""Seconds between two tries that nobody asked for."""
WINDOW = 30.0
"""Seconds in which a lost answer may be replayed."""
PAUSE = 900.0 - 40.0
"""Seconds of silence after three refused logins; it counts from before the last of them is noted and sent."""
NEVER_HEARD = {"unheard", "cut before"}
HEARD = {"ok", "no rt", "late", "lost", "cut", "damaged", "too late", "arrives late", "die heard"}
LOST = {"cut before", "lost", "cut", "damaged", "too late", "arrives late"}


@dataclass(kw_only=True)
class Server:
    """What rotates. `grace`: seconds in which a used refresh token is taken once more; `detects`: reuse kills all."""

    clock: object
    lifetime: float = 120.0
    grace: float = 0.0
    detects: bool = False
    judges_login: bool = True
    """False: it refuses every password."""
    living: set = field(default_factory=set)
    used: dict = field(default_factory=dict)
    """Refresh token → when it was used (CLOCK_BOOTTIME)."""
    access: dict = field(default_factory=dict)
    """Access token → when it ends."""
    count: int = 0
    processed: dict = field(default_factory=lambda: {"login": 0, "refresh": 0})

    def pair(self, *, rotates=True):
        self.count += 1
        access, refresh = f"access-{self.count}", f"refresh-{self.count}"
        self.access[access] = self.clock.boottime() + self.lifetime
        answer = {"access_token": access, "token_type": "bearer", "expires_in": self.lifetime}
        if rotates:
            self.living.add(refresh)
            answer["refresh_token"] = refresh
        return 200, answer

    def login(self, form):
        self.processed["login"] += 1
        if not self.judges_login:
            return 401, {"error": "invalid_grant"}
        return self.pair()

    def refresh(self, form, *, rotates=True):
        self.processed["refresh"] += 1
        token, now = form["refresh_token"], self.clock.boottime()
        if token in self.living:
            if rotates:
                self.living.discard(token)
                self.used[token] = now
            return self.pair(rotates=rotates)
        if token in self.used and now - self.used[token] <= self.grace:
            return self.pair()
        if self.detects and token in self.used:
            self.living.clear()
            self.access.clear()
        return 401, {"error": "invalid_token"}

    def takes(self, access):
        return self.access.get(access, -1.0) > self.clock.boottime()

    def kill_access(self):
        self.access.clear()

    def kill_refresh(self):
        self.living.clear()
        self.used.clear()


@dataclass(kw_only=True)
class Sending:
    """One refresh as the client sees it."""

    wire: object
    at: float
    outcome: str = "open"
    ended: float = 0.0
    replay: bool = False


class Judge:
    """What must never happen. Everything is told to it from outside of the agent."""

    def __init__(self, clock):
        self.clock = clock
        self.wrong = []
        self.sendings = {}
        """Refresh token → every Sending."""
        self.successor = {}
        """Refresh token → those that its answers gave."""
        self.durable = set()
        """Tokens that were durable at some time."""
        self.excused = set()
        """Tokens that could not be stored: they live in memory only."""
        self.intended = set()
        """Refresh tokens whose intent was durable, or could not be stored."""
        self.noted = set()
        """Refresh tokens whose intent was durable."""
        self.refused = set()
        """Refresh tokens whose refusal reached a client."""
        self.newest = None
        """The refresh token that was durable last."""
        self.unreadable = False
        """What is durable cannot be read any more."""
        self.refusals = []
        """When logins were refused, since the last good one."""
        self.clock_was_set = False
        self.store_failed = False

    def say(self, text):
        self.wrong.append(f"{self.clock.boottime():.1f} {text}")

    # ------------------------------------------------------------------ refresh

    def refresh_sent(self, wire, token):
        now, before = self.clock.boottime(), self.sendings.setdefault(token, [])
        new = Sending(wire=wire, at=now)
        if token in self.durable and token not in self.intended:
            self.say(f"{token} was sent before its intent was durable")
        if before:
            self._again(token, before, new)
        before.append(new)
        return new

    def _again(self, token, before, new):
        last = before[-1]
        if last.wire is new.wire:
            self._again_in_one_life(token, before, new)
        elif last.outcome == "open" and not last.wire.gone:
            self.say(f"{token} was sent by two sessions at once")
        elif last.outcome == "granted" and any(t in self.durable for t in self.successor.get(token, ())):
            self.say(f"{token} was sent again although its successor was durable")

    def _again_in_one_life(self, token, before, new):
        last = before[-1]
        if last.outcome in {"granted", "refused"}:
            self.say(f"{token} was sent again after it was {last.outcome}")
        if last.outcome == "kept" or new.at - last.ended >= SHORTEST:
            return  # kept: the answer held no other, so it is the one to send at the next 401
        new.replay = True
        if last.outcome != "lost":
            self.say(f"{token} was sent again at once after {last.outcome}")
        if new.at - last.at > WINDOW:
            self.say(f"{token} was replayed after {new.at - last.at:.0f} s")
        if any(s.replay for s in before if s.wire is new.wire):
            self.say(f"{token} was replayed twice")
        others = [s.outcome for s in before if s.wire.life is not new.wire.life]
        fresh = any(s.outcome == "kept" for s in before if s.wire is new.wire)
        if token in self.noted and others and others[-1] != "kept" and not fresh:
            self.say(f"{token} was replayed although the last life had sent it")

    def refresh_ended(self, sending, token, outcome, answer=None):
        sending.outcome, sending.ended = outcome, self.clock.boottime()
        if outcome == "refused":
            self.refused.add(token)
        if outcome == "granted":
            new = answer.get("refresh_token", token)
            self.successor.setdefault(token, set()).add(new)
            sending.wire.memory = new
            if new == token:
                sending.outcome = "kept"

    # ------------------------------------------------------------------ login

    def password_sent(self, wire):
        newest = wire.memory if wire.memory in self.excused else self.newest
        if newest is not None and newest not in self.refused and not self.unreadable:
            self.say(f"a password was sent, and {newest} was there and good")
        early = len(self.refusals) >= 3 and self.clock.boottime() - self.refusals[-1] < PAUSE
        if early and not self.clock_was_set and not self.store_failed:
            self.say(f"login {len(self.refusals) + 1} within the pause")

    def login_ended(self, wire, status, answer):
        if status == 200:
            wire.memory = answer["refresh_token"]
            self.refusals.clear()
            self.clock_was_set = self.store_failed = False
        elif status == 401:
            self.refusals.append(self.clock.boottime())

    # ------------------------------------------------------------------ store and use

    def stored(self, pair):
        self.durable |= {pair.access, pair.refresh}
        self.newest, self.unreadable = pair.refresh, False

    def intent(self, pair, *, durable):
        self.intended.add(pair.refresh)
        if durable:
            self.noted.add(pair.refresh)

    def not_stored(self, pair):
        self.excused |= {pair.access, pair.refresh}

    def used(self, access):
        if access not in self.durable and access not in self.excused:
            self.say(f"{access} was used before it was durable")


class Wire:
    """One session's way to the Auth API. `plan(kind)` tells how the next call ends."""

    def __init__(self, life, server, judge, *, plan, random):
        self.life = life
        self.server = server
        self.judge = judge
        self.plan = plan
        self.random = random
        self.memory = None
        """The refresh token that its session has in hand."""
        self.closed = False
        self.in_flight = 0

    @property
    def gone(self):
        return self.closed or self.life.dead.is_set()

    @asynccontextmanager
    async def post(self, url, *, data, timeout, **_):  # noqa: ASYNC109 - as the real client
        await self.life.alive()
        form = dict(parse_qsl(data.decode()))
        kind = "refresh" if url.endswith("/refresh") else "login"
        self.in_flight += 1
        if self.in_flight > 1:
            self.judge.say("two calls in flight at once")
        try:
            yield await self._call(kind, form, timeout.total)
        finally:
            self.in_flight -= 1

    async def _call(self, kind, form, deadline):
        how = self.plan(kind)
        if how == "die unsent":
            self.life.die()
            await self.life.alive()
        if kind == "login":
            sending, token = None, None
            self.judge.password_sent(self)
        else:
            token = form["refresh_token"]
            sending = self.judge.refresh_sent(self, token)

        def ended(outcome):
            if sending is not None:
                self.judge.refresh_ended(sending, token, outcome)

        try:
            status, answer = await self._exchange(kind, form, how, deadline)
        except (aiohttp.ClientError, TimeoutError):
            ended("lost" if how in LOST else "failed")
            raise
        await self.life.alive()
        return self._answer(kind, how, status, answer, sending, token)

    async def _exchange(self, kind, form, how, deadline):
        """What comes back; the server does its part whether we wait or not."""
        loop = asyncio.get_running_loop()
        there = loop.create_future()
        up, down = self.random.uniform(0.005, 0.3), self.random.uniform(0.005, 0.3)
        if how == "unheard":
            await asyncio.sleep(up)
            raise _refused_connection()
        if how in HEARD:
            late = self.random.uniform(26.0, 29.0) if how == "arrives late" else up
            loop.call_later(late, self._process, kind, form, how, there)
        elif how != "cut before":
            status = int(how) if how.isdigit() else 200
            loop.call_later(up, _settle, there, (status, None))
        if how in {"too late", "arrives late"}:
            await asyncio.sleep(deadline)
            raise TimeoutError
        if how == "cut before":
            await asyncio.sleep(up)
            raise aiohttp.ServerDisconnectedError
        came = await there
        if how == "die heard":
            self.life.die()
        await asyncio.sleep(self.random.uniform(8.0, 24.0) if how == "late" else down)
        if how == "lost":
            raise aiohttp.ServerDisconnectedError
        return came

    def _process(self, kind, form, how, there):
        if kind == "login":
            _settle(there, self.server.login(form))
        else:
            _settle(there, self.server.refresh(form, rotates=how != "no rt"))

    def _answer(self, kind, how, status, answer, sending, token):  # noqa: PLR0917 - one call's whole story
        """What the client reads; the judge hears what it means."""
        body = b"<html>" if answer is None else json.dumps(answer).encode()
        whole = how not in {"cut", "damaged"} or status != 200
        if kind == "login":
            if whole and answer is not None:
                self.judge.login_ended(self, status, answer)
        elif answer is None:
            self.judge.refresh_ended(sending, token, "failed")
        elif not whole:
            self.judge.refresh_ended(sending, token, "lost")
        else:
            self.judge.refresh_ended(sending, token, "granted" if status == 200 else "refused", answer)
        headers = {"Retry-After": "90"} if status == 429 else {}
        cut = how == "cut" and status == 200
        return _Response(status, headers, body if whole else body[: len(body) // 2], cut=cut)


class _Response:
    def __init__(self, status, headers, body, *, cut):
        self.status = status
        self.headers = headers
        self.reason = "scripted"
        self._body = body
        self._cut = cut
        self.content = self

    async def iter_any(self):
        yield self._body
        if self._cut:
            raise aiohttp.ClientPayloadError("cut")

    def close(self):
        pass


def _settle(future, value):
    if not future.done():
        future.set_result(value)


def _refused_connection():
    key = SimpleNamespace(host="auth.test", port=443, ssl=True, is_ssl=True)
    return aiohttp.ClientConnectorError(key, OSError(111, "Connection refused"))
