"""A running sandbox: in the caller's event loop, or in a thread of its own for code without one.

async with Sandbox() as sandbox:
    sandbox.add_faults(Fault(on="refresh", answer=503, times=2))
    …
    assert sandbox.state().refresh_reuse == 0

with sandbox_in_thread() as sandbox:      # the same calls
    …
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from agent.clock import Clock, SystemClock
from agent.errors import UsageError
from agent.sandbox.admin import is_loopback
from agent.sandbox.app import AUTH_PATH, TOKEN_PATH, make_app
from agent.sandbox.calls import Platform
from agent.sandbox.faults import Fault
from agent.sandbox.ledger import Received
from agent.sandbox.settings import Settings
from agent.sandbox.state import State, state_of
from agent.sandbox.targets import TARGETS, Device

T = TypeVar("T")
_WAIT = 10.0  # seconds that `until` waits unless told otherwise


class Sandbox:
    """A local stand-in of the platform, on loopback.

    Port 0 takes any free one. Raises UsageError for an address that others could reach, OSError
    when it is taken. All methods belong to the event loop that started it.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        if not is_loopback(host):
            raise UsageError(
                f"the sandbox listens on loopback only, not on {host}",
                hint="its admin API needs no token; 127.0.0.1:9400 will do",
            )
        self.settings = settings or Settings()
        self.host = host
        self.port = port
        self._clock = clock or SystemClock()
        self._runner: web.AppRunner | None = None
        self._platform: Platform | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; returns when connections are taken and `url` is known."""
        self._platform = Platform(self.settings, self._clock)
        self._runner = web.AppRunner(
            make_app(self._platform),
            access_log=None,
            # Bodies stay as they came: unpacking is done by a faster library, and only where needed.
            auto_decompress=False,
            shutdown_timeout=1,
        )
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self.host, self.port, backlog=1024)
            await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection; what was received can still be asked. Twice is fine."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()
            await self.platform.close()

    @property
    def platform(self) -> Platform:
        """What is behind the endpoints; for what this class has no word for."""
        if self._platform is None:
            raise RuntimeError("the sandbox was not started")
        return self._platform

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def auth_url(self) -> str:
        """The `auth.url` of a connection."""
        return self.url + AUTH_PATH

    @property
    def token_url(self) -> str:
        """The `auth.url` of a connection that signs in by OAuth 2.0."""
        return self.url + TOKEN_PATH

    @property
    def endpoints(self) -> dict[str, str]:
        """Name → URL, as in the `endpoints` of a connection."""
        return {one.name: self.url + one.path.removesuffix("/{name}") for one in TARGETS}

    def connection(self, password_file: Path, *, name: str = "sandbox") -> str:
        """The YAML of a connection to this sandbox, as a file in `connections/` holds it."""
        quote = partial(json.dumps, ensure_ascii=False)  # a JSON text is a YAML text too
        lines = [
            f"connection: {name}",
            "type: http",
            "auth:",
            "  type: password",
            f"  url: {self.auth_url}",
            f"  username: {quote(self.settings.username)}",
            f"  password: {{file: {quote(str(password_file))}}}",
            "endpoints:",
            *(f"  {word}: {url}" for word, url in self.endpoints.items()),
        ]
        if self.settings.gzip:
            lines.append("accepts: {gzip: true}")
        return "\n".join(lines) + "\n"

    def state(self) -> State:
        """The sums so far."""
        return state_of(self.platform)

    def requests(self, endpoint: str = "", *, after: int = 0) -> list[Received]:
        """What was received, oldest first: all of it or one endpoint's, above the number `after`."""
        return self.platform.ledger.select(endpoint=endpoint, after=after)

    def devices(self) -> list[Device]:
        """The devices as they are now."""
        return list(self.platform.devices.values())

    def add_faults(self, *faults: Fault) -> None:
        """Let things go wrong from now on."""
        self.platform.faults.add(faults)

    def clear_faults(self) -> None:
        """Everything works again."""
        self.platform.faults.clear()

    def expire(self) -> None:
        """Access tokens end now."""
        self.platform.issuer.expire()

    def revoke(self) -> None:
        """Access and refresh tokens end now."""
        self.platform.issuer.revoke()

    def reset(self) -> None:
        """Forget requests, counts, devices and faults; tokens stay good."""
        self.platform.reset()

    async def until(self, ready: Callable[[Sandbox], bool], *, timeout: float = _WAIT) -> None:  # noqa: ASYNC109 - a limit for tests
        """Wait until `ready(sandbox)` holds, asked after each request; TimeoutError if it does not."""
        await asyncio.wait_for(self.platform.ledger.until(lambda: ready(self)), timeout)


class ThreadSandbox:
    """The same calls for code without an event loop: each is done in the sandbox's own thread."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self._sandbox = sandbox
        self._loop = loop
        self.settings = sandbox.settings
        self.url = sandbox.url
        self.auth_url = sandbox.auth_url
        self.endpoints = sandbox.endpoints

    def state(self) -> State:
        """The sums so far."""
        return self._call(self._sandbox.state)

    def requests(self, endpoint: str = "", *, after: int = 0) -> list[Received]:
        """What was received, oldest first."""
        return self._call(lambda: self._sandbox.requests(endpoint, after=after))

    def devices(self) -> list[Device]:
        """The devices as they are now."""
        return self._call(self._sandbox.devices)

    def add_faults(self, *faults: Fault) -> None:
        """Let things go wrong from now on."""
        self._call(lambda: self._sandbox.add_faults(*faults))

    def clear_faults(self) -> None:
        """Everything works again."""
        self._call(self._sandbox.clear_faults)

    def expire(self) -> None:
        """Access tokens end now."""
        self._call(self._sandbox.expire)

    def revoke(self) -> None:
        """Access and refresh tokens end now."""
        self._call(self._sandbox.revoke)

    def reset(self) -> None:
        """Forget requests, counts, devices and faults; tokens stay good."""
        self._call(self._sandbox.reset)

    def until(self, ready: Callable[[Sandbox], bool], *, timeout: float = _WAIT) -> None:
        """Wait until `ready(sandbox)` holds, asked in its own thread; TimeoutError if it does not."""
        waiting = self._sandbox.until(ready, timeout=timeout)
        asyncio.run_coroutine_threadsafe(waiting, self._loop).result()

    def _call(self, work: Callable[[], T]) -> T:
        async def do() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result()


@contextmanager
def sandbox_in_thread(
    settings: Settings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Clock | None = None,
) -> Iterator[ThreadSandbox]:
    """A sandbox in a thread with its own event loop, for the length of a `with`."""
    sandbox = Sandbox(settings, host=host, port=port, clock=clock)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result()
        yield ThreadSandbox(sandbox, loop)
    finally:
        asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result()
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
