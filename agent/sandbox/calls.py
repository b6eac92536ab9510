"""One request from its head to its answer.

fault? ─► read ─► 405 ─► 401 ─► 415 ─► unpack, check ─► 400, 413 ─► seen before? ─► ledger ─► answer
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from agent.clock import Clock
from agent.sandbox.answers import Verdict, asked_for, encoding_of, refuse, respond
from agent.sandbox.body import UNPACKED_LIMIT, BadBody, Body, TooLarge, gunzip
from agent.sandbox.faults import Fault, Faults
from agent.sandbox.ledger import Ledger, Received
from agent.sandbox.oauth import token
from agent.sandbox.record import Recorder
from agent.sandbox.settings import Settings
from agent.sandbox.signin import log_in, refresh
from agent.sandbox.targets import Answer, Device, Endpoint, Refused, take_anything
from agent.sandbox.tokens import Issuer

# Bytes as sent; larger bodies are unpacked and checked in a thread, to keep the loop free.
_IN_LOOP = 200_000


class Platform:
    """The state behind all endpoints, and the way of a request through it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.issuer = Issuer(settings, clock)
        self.ledger = Ledger(settings)
        self.faults = Faults(settings.seed)
        self.devices: dict[tuple[str, str], Device] = {}
        """By (externalSystemId, externalDeviceId)."""
        self.recorder = Recorder(settings.record) if settings.record else None

    def reset(self) -> None:
        """Forget what was received, all counts, devices and faults; tokens stay good."""
        self.issuer.reset_counts()
        self.ledger.clear()
        self.faults.clear()
        self.devices.clear()

    async def close(self) -> None:
        """Finish what was begun with files; the sums can still be asked."""
        if self.recorder:
            await self.recorder.close()
        await asyncio.to_thread(self.ledger.close)

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        """The Auth API's login."""

        async def decide(wire: bytes) -> Verdict:
            return log_in(self.issuer, request, wire)

        return await self._call("login", request, decide, target=False)

    async def refresh(self, request: web.Request) -> web.StreamResponse:
        """The Auth API's refresh."""

        async def decide(wire: bytes) -> Verdict:
            return refresh(self.issuer, self.settings, request, wire)

        return await self._call("refresh", request, decide, target=False)

    async def token(self, request: web.Request) -> web.StreamResponse:
        """The token endpoint of OAuth 2.0."""

        async def decide(wire: bytes) -> Verdict:
            return token(self.issuer, self.settings, request, wire)

        return await self._call("token", request, decide, target=False)

    async def target(self, endpoint: Endpoint, name: str, request: web.Request) -> web.StreamResponse:
        """A target API. `name` is how faults and counts call it."""

        async def decide(wire: bytes) -> Verdict:
            return await self._take(endpoint, request, wire)

        return await self._call(name, request, decide, target=True)

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """A path that is no API's."""

        async def decide(wire: bytes) -> Verdict:
            del wire
            return refuse(404, f"there is nothing at {request.path}")

        return await self._call("unknown", request, decide, target=True)

    async def _call(
        self,
        name: str,
        request: web.Request,
        decide: Callable[[bytes], Awaitable[Verdict]],
        *,
        target: bool,
    ) -> web.StreamResponse:
        fault = self.faults.next_for(name, target=target)
        if fault and fault.delay:
            await self.clock.sleep(fault.delay)
        if fault and fault.hold:
            await self.faults.cleared()
        wire, verdict = b"", None
        if not (fault and fault.drop == "before"):
            wire, verdict = await _read(request)
        if fault is None or not (fault.drop or fault.answer is not None):
            fault = await self._of_body(name, request, wire, target=target) or fault
        if fault and not _lets_through(fault):
            verdict = asked_for(fault)
        verdict = verdict or await decide(wire)
        # From here on, until the row stands, nothing waits: rows stand in the order of processing.
        shown = asked_for(fault) if fault and fault.answer is not None else verdict
        # What the Auth API is sent is a secret: the ledger gets none of it.
        row = self._write_down(
            name, request, wire if target else b"", verdict=verdict, shown=shown, fault=fault
        )
        if self.recorder:
            await self.recorder.write(row)
        if fault and fault.drop and request.transport:
            request.transport.abort()
        return respond(shown)

    async def _of_body(self, name: str, request: web.Request, wire: bytes, *, target: bool) -> Fault | None:
        """The fault that strikes what this body holds."""
        wanted = self.faults.of_bodies(name, target=target)
        if not wanted:
            return None
        plain = await asyncio.to_thread(_plain, request, wire)
        return next((fault for fault in wanted if fault.containing.encode() in plain), None)

    def _write_down(
        self,
        name: str,
        request: web.Request,
        wire: bytes,
        *,
        verdict: Verdict,
        shown: Verdict,
        fault: Fault | None,
    ) -> Received:
        key = request.headers.get("Idempotency-Key", "")
        repeat = verdict.processed and self.ledger.note_key(key)
        body = Body(
            wire,
            gzip=encoding_of(request) == "gzip",
            content_type=request.content_type,
            records=verdict.records,
        )
        return self.ledger.add(
            lambda number: Received(
                number=number,
                time=self.clock.now(),
                endpoint=name,
                method=request.method,
                path=request.path_qs,
                key=key,
                token=verdict.token,
                status=shown.status,
                dropped=fault.drop if fault else "",
                processed=verdict.processed and not (repeat and self.settings.dedupe),
                repeat=repeat,
                reason=shown.reason,
                body=body,
            )
        )

    async def _take(self, endpoint: Endpoint, request: web.Request, wire: bytes) -> Verdict:
        refused = self._check_method(endpoint, request)
        if refused:
            return refused
        token = self._token(request)
        if isinstance(token, Verdict):
            return token
        refused = self._check_type(endpoint, request, token)
        if refused:
            return refused
        try:
            answer = await self._check_body(endpoint, request, wire)
        except TooLarge as error:
            return refuse(413, str(error), token=token)
        except (Refused, BadBody) as error:
            return refuse(400, str(error), token=token)
        if answer.device:
            # Also for a repeat: the same device twice is the same device.
            ids = (str(answer.device["externalSystemId"]), str(answer.device["externalDeviceId"]))
            self.devices[ids] = answer.device
        return Verdict(
            status=answer.status,
            document=answer.document,
            token=token,
            records=answer.records,
            processed=True,
        )

    @staticmethod
    def _check_method(endpoint: Endpoint, request: web.Request) -> Verdict | None:
        if request.method in endpoint.accepts:
            return None
        allow = ", ".join(endpoint.accepts)
        words = f"{request.method} is not allowed here; allowed: {allow}"
        return refuse(405, words, headers={"Allow": allow})

    def _token(self, request: web.Request) -> int | Verdict:
        scheme, _, access = request.headers.get("Authorization", "").partition(" ")
        token = self.issuer.serial_of(access.strip()) if scheme.lower() == "bearer" else None
        if token is not None:
            return token
        # RFC 6750, 3.1: a request without any token is not told of an error.
        challenge = 'Bearer realm="sandbox"' + (', error="invalid_token"' if scheme else "")
        words = "the token is wrong or has expired" if scheme else "a bearer token is needed"
        return refuse(401, words, headers={"WWW-Authenticate": challenge})

    def _check_type(self, endpoint: Endpoint, request: web.Request, token: int) -> Verdict | None:
        types = endpoint.accepts[request.method]
        if types is not None and request.content_type not in types:
            words = f"{request.method} takes {' or '.join(sorted(types))}, not {request.content_type}"
            return refuse(415, words, token=token)
        encoding = encoding_of(request)
        if encoding and not (encoding == "gzip" and self.settings.gzip):
            headers = {"Accept-Encoding": "gzip" if self.settings.gzip else "identity"}
            return refuse(415, f"Content-Encoding {encoding} is not taken", token=token, headers=headers)
        return None

    async def _check_body(self, endpoint: Endpoint, request: web.Request, wire: bytes) -> Answer:
        zipped = encoding_of(request) == "gzip"
        content_type = request.content_type
        if self.settings.lazy and endpoint.check is take_anything:
            return take_anything(wire, content_type)

        def look() -> Answer:
            plain = gunzip(wire, self.settings.max_body) if zipped else wire
            return endpoint.check(plain, content_type)

        return look() if len(wire) < _IN_LOOP else await asyncio.to_thread(look)


def _plain(request: web.Request, wire: bytes) -> bytes:
    try:
        return gunzip(wire, UNPACKED_LIMIT) if encoding_of(request) == "gzip" else wire
    except BadBody:
        return b""


async def _read(request: web.Request) -> tuple[bytes, Verdict | None]:
    try:
        return await request.read(), None
    except web.HTTPRequestEntityTooLarge:
        return b"", refuse(413, "the body is too large")
    except (web.RequestPayloadError, ConnectionError):
        return b"", refuse(400, "the body ended too early")


def _lets_through(fault: Fault) -> bool:
    """Whether the request is processed in spite of the fault."""
    if fault.answer is not None:
        return fault.processed
    return fault.drop != "before"
