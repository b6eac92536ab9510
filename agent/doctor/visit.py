"""One origin, step by step: its name, its addresses, its certificate, an answer without credentials.

dns ─▶ tcp ─▶ tls ─▶ http          a step that fails skips those after it
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass

from agent.clock import Clock
from agent.config.urls import is_open
from agent.doctor.dial import Resolver, connect, dial, resolve, system_resolver
from agent.doctor.findings import Resolved, Unheard, Unshaken, Verdict
from agent.doctor.handshake import Conversation, Server, converse, overhear
from agent.doctor.notebook import Notebook
from agent.doctor.places import Place
from agent.doctor.trust import judge_plain, judge_tls
from agent.doctor.verdicts import judge_dns, judge_http, judge_tcp
from agent.doctor.words import TLS
from agent.errors import ConfigError

_STEPS = ("dns", "tcp", "tls", "http")


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadlines:
    """Seconds that steps get. All of them together bound the whole examination."""

    dns: float = 5.0
    connect: float = 5.0
    tls: float = 10.0
    http: float = 10.0
    sign_in: float = 90.0
    """A refresh, its one replay and a login may take 25 s each."""
    call: float = 40.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What visits are made with."""

    clock: Clock
    context: ssl.SSLContext | ConfigError
    """How the connection checks certificates, or why it cannot."""
    resolver: Resolver = system_resolver
    deadlines: Deadlines = Deadlines()


class Visit:
    """Takes the steps to one origin."""

    def __init__(self, place: Place, notebook: Notebook, means: Means) -> None:
        self._place = place
        self._notebook = notebook
        self._means = means
        self._addresses: tuple[str, ...] = ()
        self._met: Conversation | None = None

    async def pay(self) -> str:
        """Which step failed so that nothing can be sent there; empty: there was an answer."""
        async with contextlib.AsyncExitStack() as stack:
            limits = self._means.deadlines
            # A little more than the bounds inside, which say better what was waited for.
            if await self._failed("dns", self._dns(), limits.dns + 1):
                return self._stop("dns")
            if await self._failed("tcp", self._tcp(), limits.connect + 1):
                return self._stop("tcp")
            if await self._failed("tls", self._tls(stack), 3 * limits.tls + 1):
                return self._stop("tls")
            return "http" if await self._failed("http", self._http(), 3 * limits.http + 1) else ""

    async def _failed(self, name: str, work: Awaitable[Verdict], deadline: float) -> bool:
        verdict = await self._notebook.take(name, self._place.origin, work, deadline=deadline)
        # A clock that is wrong is a failure to be told, but no reason not to go on.
        return verdict.mark == "failed" and "clock_difference" not in verdict.data

    def _stop(self, failed: str) -> str:
        for name in _STEPS[_STEPS.index(failed) + 1 :]:
            self._notebook.skip(name, self._place.origin, f"since {failed} failed")
        return failed

    async def _dns(self) -> Verdict:
        place, means = self._place, self._means
        found = await resolve(place.host, place.port, resolver=means.resolver, deadline=means.deadlines.dns)
        if isinstance(found, Resolved):
            self._addresses = found.addresses
        return judge_dns(found, place.host)

    async def _tcp(self) -> Verdict:
        place, means = self._place, self._means
        dialled = await dial(self._addresses, place.port, clock=means.clock, deadline=means.deadlines.connect)
        if dialled.answered is not None:
            self._addresses = (dialled.answered.address,)
        return judge_tcp(dialled, place.port)

    async def _tls(self, stack: contextlib.AsyncExitStack) -> Verdict:
        place, means = self._place, self._means
        if isinstance(means.context, ConfigError):
            problem = means.context.problems[0]
            says = f"{TLS['files'].says}: {problem.file}: {problem.message}"
            return Verdict(mark="failed", says=says, hint=problem.hint or TLS["files"].hint)
        met = await stack.enter_async_context(converse(self._server(), self._context))
        self._met = met if isinstance(met, Conversation) else None
        if place.scheme != "https":
            return judge_plain(loopback=not is_open(place.origin))
        found = met if isinstance(met, Unshaken) else met.shaken
        assert found is not None
        return judge_tls(found, place.host, means.clock.now())

    async def _http(self) -> Verdict:
        heard = await self._met.ask() if self._met is not None else Unheard(fault="closed")
        context = self._context
        if isinstance(heard, Unheard) and heard.fault == "closed" and context is not None:
            heard = await overhear(self._server(), context) or heard
        return judge_http(heard)

    @property
    def _context(self) -> ssl.SSLContext | None:
        """None: plain http."""
        context = self._means.context
        return context if isinstance(context, ssl.SSLContext) and self._place.scheme == "https" else None

    def _server(self) -> Server:
        place, means = self._place, self._means
        limits = means.deadlines
        return Server(
            name=place.host,
            authority=place.authority,
            connect=self._connect,
            clock=means.clock,
            deadline=limits.tls,
        )

    async def _connect(self) -> socket.socket:
        return await connect(self._addresses[0], self._place.port, deadline=self._means.deadlines.connect)
