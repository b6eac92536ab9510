"""The read-only pages: health, readiness, metrics, status. Loopback, GET, no secrets.

A web page that a user of this machine visits must not be able to read them (DNS rebinding): only
requests that name this host are answered, and nothing is said across origins. Clients that hold
connections open cannot lock others out: a connection lives for seconds, and the oldest one makes
room for the newest.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol, TypeAlias

from aiohttp import web

from agent.errors import ConfigError, Problem
from agent.logs import get_log
from agent.status import Figures, to_json

log = get_log("web")

# Connections at one moment. A scraper and a few people need far fewer.
_MAX_CONNECTIONS = 64
# Seconds that a connection may live, whatever it does: slow headers, slow reading, keep-alive.
_LIFETIME = 15.0
_KEEPALIVE = 5.0
# Seconds that answers under way get at a stop.
_STOP_GRACE = 1.0

_HEADERS = {
    "Server": "push-agent",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TEXT = "text/plain; charset=utf-8"
_INDEX = """push-agent

/healthz   200 while the process is alive and well
/readyz    200 once the config is loaded and lanes run
/metrics   for Prometheus
/status    what each job and connection does, as JSON
"""


class View(Protocol):
    """What the pages show; the daemon implements it."""

    def unhealthy(self) -> str:
        """Why this process should be restarted; "" when it is well."""

    def unready(self) -> str:
        """What is still missing; "" when it collects and delivers."""

    async def figures(self) -> Figures:
        """All there is to tell, at this moment."""


Page: TypeAlias = "Callable[[], Awaitable[web.Response]]"
Answer: TypeAlias = "Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]"


class WebServer:
    """Serves the pages on one address."""

    def __init__(self, listen: tuple[str, int], view: View) -> None:
        """`listen`: host and port; port 0 takes any free one."""
        self._host, self._port = listen
        self._view = view
        self._names = frozenset({"127.0.0.1", "localhost", "::1", self._host.lower()})
        address = _address(self._host)
        self._everywhere = address is not None and address.is_unspecified
        self._looking: asyncio.Task[Figures] | None = None
        self._runner = web.ServerRunner(_Doors(self._answer), shutdown_timeout=_STOP_GRACE)
        self._pages: dict[str, Page] = {
            "/": self._index,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status,
        }

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    async def start(self) -> None:
        """Listen; ConfigError when the address cannot be had."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise _cannot_listen(self._host, self._port, error) from error
        self._port = int(self._runner.addresses[0][1])
        if not _is_loopback(self._host):
            log.warning("the status pages are open to other hosts", listen=f"{self._host}:{self._port}")

    async def stop(self) -> None:
        """Stop listening and end what is under way; a second call does nothing."""
        await self._runner.cleanup()
        if self._looking is not None:
            self._looking.cancel()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._is_us(_host_name(request.headers.get("Host", ""))):
            return _reply(HTTPStatus.MISDIRECTED_REQUEST, "This host has no such name.\n")
        if request.method != "GET":
            return _reply(HTTPStatus.METHOD_NOT_ALLOWED, "These pages are read-only.\n", Allow="GET")
        page = self._pages.get(request.path)
        if page is None:
            return _reply(HTTPStatus.NOT_FOUND, _INDEX)
        try:
            return await page()
        except Exception as error:  # noqa: BLE001 - a page that fails must not take the daemon with it
            log.bug("a status page failed", error, page=request.path)
            return _reply(HTTPStatus.INTERNAL_SERVER_ERROR, "This page failed; the log says why.\n")

    def _is_us(self, name: str) -> bool:
        # Whoever opened the pages to all addresses has many; a rebound name is never an address.
        return name in self._names or (self._everywhere and _address(name) is not None)

    async def _index(self) -> web.Response:
        return _reply(HTTPStatus.OK, _INDEX)

    async def _healthz(self) -> web.Response:
        return _verdict(self._view.unhealthy())

    async def _readyz(self) -> web.Response:
        return _verdict(self._view.unhealthy() or self._view.unready())

    async def _metrics(self) -> web.Response:
        figures = await self._figures()
        return web.Response(body=await asyncio.to_thread(_metrics_page, figures), headers=_metrics_headers())

    async def _status(self) -> web.Response:
        figures = await self._figures()
        body = json.dumps(to_json(figures.snapshot)).encode()
        return web.Response(body=body, headers={**_HEADERS, "Content-Type": "application/json"})

    async def _figures(self) -> Figures:
        """One look for all who ask at the same moment: it reads the database."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._view.figures(), name="web figures")
        return await asyncio.shield(self._looking)


class _Doors(web.Server):
    """Counts connections and shows them out: after their time, or when others need the place."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer, keepalive_timeout=_KEEPALIVE, access_log=None, tcp_keepalive=False)
        # In the order of arrival. The timer of a guest ends its visit.
        self._guests: dict[web.RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        timer = asyncio.get_running_loop().call_later(_LIFETIME, transport.abort)
        self._guests[handler] = (transport, timer)
        if len(self._guests) > _MAX_CONNECTIONS:
            oldest, _ = self._guests[next(iter(self._guests))]
            oldest.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if guest := self._guests.pop(handler, None):
            guest[1].cancel()


def _metrics_page(figures: Figures) -> bytes:
    from agent.web.metrics import render  # noqa: PLC0415 - memory only where somebody scrapes

    return render(figures)


def _metrics_headers() -> dict[str, str]:
    from agent.web.metrics import CONTENT_TYPE  # noqa: PLC0415 - see above

    return {**_HEADERS, "Content-Type": CONTENT_TYPE}


def _reply(status: HTTPStatus, text: str, **headers: str) -> web.Response:
    return web.Response(text=text, status=status, headers={**_HEADERS, "Content-Type": _TEXT, **headers})


def _verdict(problem: str) -> web.Response:
    if problem:
        return _reply(HTTPStatus.SERVICE_UNAVAILABLE, problem + "\n")
    return _reply(HTTPStatus.OK, "ok\n")


def _host_name(header: str) -> str:
    """The host of a Host header (RFC 9110, 7.2) without its port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost"


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    taken = error.errno == errno.EADDRINUSE
    what = "another program listens there" if taken else (error.strerror or str(error))
    problem = Problem(
        file="agent.yaml",
        path="web.listen",
        message=f"cannot listen on {host}:{port}: {what}",
        hint="choose another port, or `listen: off` for no pages",
    )
    return ConfigError((problem,))
