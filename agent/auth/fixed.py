"""Sessions whose token nobody renews: `none`, `basic`, `bearer`, `header`.

A 401 makes them look at the secret again: when it changed, that is the next generation; when not, the caller
is told so and tries later. Others go on, since one endpoint's 401 says nothing about the next one's.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from types import MappingProxyType

from agent.auth.session import Secrets, SessionStatus, Signed
from agent.auth.token import BadToken, checked
from agent.clock import Clock
from agent.config.model import BasicAuth, BearerAuth, HeaderAuth, SecretRef
from agent.errors import NotSignedIn, SecretError, UsageError
from agent.logs import get_log

REREAD = 5.0
"""Seconds of CLOCK_BOOTTIME that a secret is believed before its file is looked at again."""
RETRY = 60.0
"""Seconds until a refused secret that has not changed is worth another try."""

_HINT = "put the right secret in place; it is picked up by itself"

log = get_log("auth")


class FixedSession:
    """Implements `agent.auth.session.Session` for headers that `read` makes out of secrets (blocking)."""

    def __init__(self, name: str, read: Callable[[], Mapping[str, str]], clock: Clock) -> None:
        self._name = name
        self._read = read
        self._clock = clock
        self._signed = Signed(generation=0, headers=MappingProxyType({}))
        self._looked_at = -REREAD
        self._forgotten = False
        self._rejected = 0
        self._trouble = ""
        self._retry_at = 0.0
        self._change = asyncio.Event()

    async def sign(self) -> Signed:
        """The headers. Raises NotSignedIn when the secret cannot be read and never was."""
        if self._is_empty or self._clock.boottime() - self._looked_at >= REREAD:
            await self._look()
        if self._is_empty:
            raise self._not_signed_in(REREAD)
        return self._signed

    async def rejected(self, generation: int) -> None:
        """Returns when the secret is another one than `generation` had; raises NotSignedIn when not."""
        if self._signed.generation <= generation:
            await self._look()
        if self._signed.generation > generation:
            return
        self._retry_at = self._clock.now() + RETRY
        if self._rejected != generation:
            self._rejected = generation
            self._say("the target answered 401, and the secret has not changed since")
        raise self._not_signed_in(RETRY)

    async def changed(self) -> None:
        """Wait until another secret is there. While this one is of no use, its place is looked at."""
        change, generation = self._change, self._signed.generation
        if not self._trouble:
            await change.wait()
        while self._trouble and self._signed.generation == generation:
            await self._clock.sleep(REREAD)
            if self._clock.boottime() - self._looked_at >= REREAD:
                await self._look()

    def status(self) -> SessionStatus:
        """How it is now."""
        return SessionStatus(
            generation=self._signed.generation,
            expires_at=None,
            refreshes=0,
            logins=0,
            failures=0,
            state="not signed in" if self._trouble else "signed in",
            last_error=self._trouble,
            hint=_HINT if self._trouble else "",
            next_try=self._retry_at if self._trouble else None,
        )

    async def refresh(self) -> None:
        """Read the secret again. Raises NotSignedIn when it cannot be read, or is the refused one."""
        await self._look()
        if self._trouble:
            raise self._not_signed_in(max(self._retry_at - self._clock.now(), 0.0))

    async def login(self) -> None:
        """Always raises UsageError."""
        text = f"connection {self._name} has no login: it sends a fixed secret"
        raise UsageError(text, hint=f"push-agent auth refresh {self._name} reads the secret again")

    async def forget(self) -> str:
        """Keep nothing of the secret in memory. It is read again when it is needed."""
        self._signed = Signed(generation=self._signed.generation, headers=MappingProxyType({}))
        self._forgotten = True
        return "the secret is out of memory; it is read again when it is needed, until you remove it"

    def retire(self) -> None:
        """Nothing is renewed here."""

    async def close(self, grace: float | None = None) -> None:
        """Nothing is open."""

    @property
    def _is_empty(self) -> bool:
        return self._forgotten or self._signed.generation == 0

    async def _look(self) -> None:
        self._looked_at = self._clock.boottime()
        try:
            headers = await asyncio.to_thread(self._read)
        except (SecretError, BadToken) as error:
            # A file is briefly gone while it is replaced; what was read before goes on.
            self._retry_at = self._clock.now() + REREAD
            self._say(str(error))
            return
        if self._signed.generation and headers == self._signed.headers:
            over = self._clock.now() >= self._retry_at + RETRY  # whoever waited has tried it again since
            if self._trouble and (over or self._rejected < self._signed.generation):
                self._trouble, self._rejected = "", 0
            return
        signed = Signed(generation=self._signed.generation + 1, headers=MappingProxyType(dict(headers)))
        if self._signed.generation:
            log.info("another secret", connection=self._name, generation=signed.generation)
        self._signed, self._trouble, self._forgotten = signed, "", False
        self._change.set()
        self._change = asyncio.Event()

    def _say(self, text: str) -> None:
        if text != self._trouble:
            log.error("cannot sign in", connection=self._name, reason=text)
        self._trouble = text

    def _not_signed_in(self, wait: float) -> NotSignedIn:
        return NotSignedIn(f"connection {self._name}: {self._trouble}", hint=_HINT, retry_after=wait)


class NoSession:
    """`type: none`: nothing is added to a request."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._signed = Signed(generation=0, headers=MappingProxyType({}))

    async def sign(self) -> Signed:
        """No headers."""
        return self._signed

    async def rejected(self, generation: int) -> None:
        """Always raises NotSignedIn: there is nothing to renew."""
        del generation
        text = f"connection {self._name}: the target answered 401, and there is no `auth`"
        raise NotSignedIn(text, hint="say in the connection's `auth` how to sign in", retry_after=RETRY)

    async def changed(self) -> None:
        """Never happens."""
        await asyncio.Event().wait()

    def status(self) -> SessionStatus:
        """Always signed in."""
        return SessionStatus(
            generation=0,
            expires_at=None,
            refreshes=0,
            logins=0,
            failures=0,
            state="signed in",
            last_error="",
            next_try=None,
        )

    async def refresh(self) -> None:
        """Always raises UsageError."""
        raise self._nobody()

    async def login(self) -> None:
        """Always raises UsageError."""
        raise self._nobody()

    async def forget(self) -> str:
        """Always raises UsageError."""
        raise self._nobody()

    def retire(self) -> None:
        """Nothing is renewed here."""

    async def close(self, grace: float | None = None) -> None:
        """Nothing is open."""

    def _nobody(self) -> UsageError:
        text = f"connection {self._name} has no `auth`: nobody signs in there"
        return UsageError(text, hint="say in the connection's `auth` how to sign in")


def basic_headers(auth: BasicAuth, secrets: Secrets) -> Mapping[str, str]:
    """RFC 7617, with UTF-8. Blocking. Raises SecretError, BadToken."""
    user = _text(auth.username, secrets)
    if ":" in user:
        raise BadToken("a username for basic auth cannot hold a colon (RFC 7617, section 2)")
    pair = f"{user}:{_text(auth.password, secrets)}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def bearer_headers(auth: BearerAuth, secrets: Secrets) -> Mapping[str, str]:
    """RFC 6750, section 2.1. Blocking. Raises SecretError, BadToken."""
    return {"Authorization": f"Bearer {checked('token', _text(auth.token, secrets))}"}


def own_header(auth: HeaderAuth, secrets: Secrets) -> Mapping[str, str]:
    """Any header. Blocking. Raises SecretError, BadToken."""
    value = _text(auth.value, secrets)
    if not value.isascii() or not value.isprintable():
        raise BadToken(f"the value of `{auth.name}` holds characters that no header may have")
    return {auth.name: value}


def _text(value: SecretRef | str, secrets: Secrets) -> str:
    return value if isinstance(value, str) else secrets.resolve(value).reveal()
