"""One origin, step by step: its name, its addresses, its certificate, an answer without credentials.

dns ─▶ tcp ─▶ tls ─▶ http          a step that fails skips those after it
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.clock import Clock
from agent.config.urls import is_open
from agent.doctor.dial import Resolver, connect, dial, fault_of, resolve, system_resolver
from agent.doctor.findings import Resolved, Tunnelled, Unheard, Unshaken, Verdict
from agent.doctor.handshake import Conversation, Server, converse, overhear
from agent.doctor.notebook import Notebook
from agent.doctor.places import Place
from agent.doctor.trust import judge_plain, judge_tls
from agent.doctor.tunnel import Via, open_tunnel, through
from agent.doctor.verdicts import judge_dns, judge_http, judge_proxy, judge_tcp
from agent.doctor.words import TLS
from agent.errors import AgentError, ConfigError

_STEPS = ("dns", "tcp", "proxy", "tls", "http")


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
    host: str | None = None
    """The name that certificates must carry; None: the URL's host."""
    via: Callable[[str], Awaitable[Via | None]] | None = None
    """Origin → the proxy on the way there. Raises AgentError."""
    resolver: Resolver = system_resolver
    deadlines: Deadlines = Deadlines()


class Visit:
    """Takes the steps to one origin."""

    def __init__(self, place: Place, notebook: Notebook, means: Means) -> None:
        self._place = place
        self._notebook = notebook
        self._means = means
        self._via: Via | None = None
        self._addresses: tuple[str, ...] = ()
        self._met: Conversation | None = None

    async def pay(self) -> str:
        """Which step failed so that nothing can be sent there; empty: there was an answer."""
        limits = self._means.deadlines
        # A little more than the bounds inside, which say better what was waited for.
        if await self._failed("dns", self._dns(), limits.dns + 5):
            return self._stop("dns")
        if await self._failed("tcp", self._tcp(), limits.connect + 1):
            return self._stop("tcp")
        secure = self._place.scheme == "https"
        if self._via is not None and secure and await self._failed("proxy", self._proxy(), limits.tls + 1):
            return self._stop("proxy")
        async with contextlib.AsyncExitStack() as stack:
            if await self._failed("tls", self._tls(stack), 3 * limits.tls + 1):
                return self._stop("tls")
            return "http" if await self._failed("http", self._http(), 3 * limits.http + 1) else ""

    async def _failed(self, name: str, work: Awaitable[Verdict], deadline: float) -> bool:
        verdict = await self._notebook.take(name, self._place.origin, work, deadline=deadline)
        return verdict.mark == "failed" and not verdict.passable

    def _stop(self, failed: str) -> str:
        for name in _STEPS[_STEPS.index(failed) + 1 :]:
            if name != "proxy":
                self._notebook.skip(name, self._place.origin, f"since {failed} failed")
        return failed

    async def _dns(self) -> Verdict:
        place, means = self._place, self._means
        try:
            self._via = await means.via(place.origin) if means.via is not None else None
        except AgentError as error:
            return Verdict(mark="failed", says=f"the proxy: {error.message}", hint=error.hint)
        host, port = self._next
        found = await resolve(host, port, resolver=means.resolver, deadline=means.deadlines.dns)
        if isinstance(found, Resolved):
            self._addresses = found.addresses
        return self._said(judge_dns(found, host))

    async def _tcp(self) -> Verdict:
        means, port = self._means, self._next[1]
        dialled = await dial(self._addresses, port, clock=means.clock, deadline=means.deadlines.connect)
        if dialled.answered is not None:
            self._addresses = (dialled.answered.address,)
        return self._said(judge_tcp(dialled, port))

    async def _proxy(self) -> Verdict:
        via, place, limits = self._via, self._place, self._means.deadlines
        assert via is not None
        try:
            async with asyncio.timeout(limits.tls):
                with await connect(self._addresses[0], via.port, deadline=limits.connect) as ours:
                    told = await open_tunnel(ours, place.host, place.port, via)
        except TimeoutError:
            told = Tunnelled(status=0, fault="timeout")
        except OSError as error:
            told = Tunnelled(status=0, fault=fault_of(error))
        return judge_proxy(told, via.name)

    async def _tls(self, stack: contextlib.AsyncExitStack) -> Verdict:
        place, means = self._place, self._means
        if isinstance(means.context, ConfigError):
            problem = means.context.problems[0]
            says = f"{TLS['files'].says}: {problem.file}: {problem.message}"
            return Verdict(mark="failed", says=says, hint=problem.hint or TLS["files"].hint)
        server = self._server()
        met = await stack.enter_async_context(converse(server, self._context))
        self._met = met if isinstance(met, Conversation) else None
        if place.scheme != "https":
            return judge_plain(loopback=not is_open(place.origin))
        found = met if isinstance(met, Unshaken) else met.shaken
        assert found is not None
        return judge_tls(found, server.name, means.clock.now())

    async def _http(self) -> Verdict:
        heard = await self._met.ask() if self._met is not None else Unheard(fault="closed")
        context = self._context
        if isinstance(heard, Unheard) and heard.fault == "closed" and context is not None:
            heard = await overhear(self._server(), context) or heard
        return judge_http(heard)

    @property
    def _next(self) -> tuple[str, int]:
        """Host and port that are connected to: the proxy's, or the place's own."""
        return (self._via.host, self._via.port) if self._via else (self._place.host, self._place.port)

    def _said(self, verdict: Verdict) -> Verdict:
        return verdict if self._via is None else replace(verdict, says=f"{self._via.name}: {verdict.says}")

    @property
    def _context(self) -> ssl.SSLContext | None:
        """None: plain http."""
        context = self._means.context
        return context if isinstance(context, ssl.SSLContext) and self._place.scheme == "https" else None

    def _server(self) -> Server:
        place, means, via = self._place, self._means, self._via
        read_by_proxy = via is not None and self._context is None
        return Server(
            name=means.host or place.host,
            authority=place.authority,
            target=f"{place.origin}/" if read_by_proxy else "/",
            headers=via.headers if via is not None and read_by_proxy else {},
            connect=self._connect,
            clock=means.clock,
            deadline=means.deadlines.tls,
        )

    async def _connect(self) -> socket.socket:
        place, via, limit = self._place, self._via, self._means.deadlines.connect
        ours = await connect(self._addresses[0], self._next[1], deadline=limit)
        if via is None or self._context is None:
            return ours
        return await through(ours, place.host, place.port, via)
