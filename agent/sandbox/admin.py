"""`/_sandbox/…`: look at what happened, and make things go wrong. Needs no token; loopback only.

GET    state                                    the sums
GET    requests?endpoint=&after=&limit=&body=1  what was received, oldest first
GET    devices                                  the devices as they are now
POST   expire                                   access tokens end now
POST   revoke                                   refresh tokens too
GET    faults · POST faults (one or a list) · DELETE faults
POST   reset                                    forget requests, counts, devices, faults
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from aiohttp import web

from agent.errors import UsageError
from agent.sandbox.body import BadBody
from agent.sandbox.calls import Platform
from agent.sandbox.faults import parse_faults
from agent.sandbox.ledger import Received
from agent.sandbox.state import state_of
from agent.sandbox.targets import read_json

PREFIX = "/_sandbox"
_PAGE = 1000  # rows of one answer, unless `limit` says otherwise

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def admin_routes(platform: Platform) -> list[web.RouteDef]:
    """All admin paths; none of them counts as a request."""
    admin = _Admin(platform)
    routes: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "state", admin.state),
        ("GET", "requests", admin.requests),
        ("GET", "devices", admin.devices),
        ("POST", "expire", admin.expire),
        ("POST", "revoke", admin.revoke),
        ("GET", "faults", admin.faults),
        ("POST", "faults", admin.add_faults),
        ("DELETE", "faults", admin.clear_faults),
        ("POST", "reset", admin.reset),
        ("*", "{path:.*}", admin.unknown),
    )
    return [web.route(method, f"{PREFIX}/{path}", _guarded(handler)) for method, path, handler in routes]


def is_loopback(host: str) -> bool:
    """Whether this name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _guarded(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        # A web page in a browser of this machine must not reach it, not even under a name of its own.
        if "Origin" in request.headers or not is_loopback(request.url.host or ""):
            return _say({"error": "only under a loopback name, and not from a web page"}, status=403)
        try:
            return await handler(request)
        except (UsageError, BadBody) as error:
            hint = error.hint if isinstance(error, UsageError) else ""
            return _say({"error": str(error), **({"hint": hint} if hint else {})}, status=400)

    return handle


class _Admin:
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def state(self, request: web.Request) -> web.StreamResponse:
        del request
        await _settle(self._platform.ledger.uncounted())
        return _say(asdict(state_of(self._platform)))

    async def requests(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        rows = self._platform.ledger.select(
            endpoint=query.get("endpoint", ""),
            after=_number(query.get("after", "0"), "after"),
            limit=_number(query.get("limit", str(_PAGE)), "limit"),
        )
        await _settle(rows)
        with_body = query.get("body", "") in ("1", "true")
        shown = [{**row.as_json(), **(row.body_as_json() if with_body else {})} for row in rows]
        return _say({"requests": shown, "last": self._platform.ledger.last})

    async def devices(self, request: web.Request) -> web.StreamResponse:
        del request
        return _say({"devices": list(self._platform.devices.values())})

    async def expire(self, request: web.Request) -> web.StreamResponse:
        del request
        self._platform.issuer.expire()
        return _say({"done": "access tokens ended"})

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        del request
        self._platform.issuer.revoke()
        return _say({"done": "all tokens ended"})

    async def faults(self, request: web.Request) -> web.StreamResponse:
        del request
        return _say({"faults": self._platform.faults.shown()})

    async def add_faults(self, request: web.Request) -> web.StreamResponse:
        self._platform.faults.add(parse_faults(read_json(await request.read())))
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.StreamResponse:
        self._platform.faults.clear()
        return await self.faults(request)

    async def reset(self, request: web.Request) -> web.StreamResponse:
        del request
        self._platform.reset()
        return _say({"done": "requests, counts, devices and faults forgotten"})

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        return _say({"error": f"no such admin call: {request.method} {request.path}"}, status=404)


async def _settle(rows: Sequence[Received]) -> None:
    """Count and hash in a thread: a benchmark may leave gigabytes to unpack."""
    bodies = [row.body for row in rows]

    def settle() -> None:
        for body in bodies:
            body.settle()

    await asyncio.to_thread(settle)


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"{name} must be a number")
    return int(text)


def _say(document: object, *, status: int = 200) -> web.Response:
    return web.json_response(document, status=status)
