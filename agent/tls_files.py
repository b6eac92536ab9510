"""Certificates that are renewed on the disk: taken over without a restart and without a reload.

look ─▶ another content ─▶ the same a moment later? ─▶ load ─▶ new connections are made with it
                                                         └─▶ it does not fit together: what was goes on
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import Clock
from agent.config.model import Tls
from agent.errors import ConfigError
from agent.logs import get_log
from agent.phrases import rfc3339
from agent.tls import SOON, Loaded, load, mark_of

log = get_log("tls")

LOOK = 5.0
"""Seconds between two looks at the files."""
SETTLE = 1.0
"""Seconds that changed files must stay as they are: certificate and key are seldom written in one moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsState:
    """How a connection's TLS is, for people."""

    verified: bool
    """Whether the target's certificate is checked."""
    certificate_ends: float | None
    """Wall clock: when our own certificate in use ends; None: there is none."""
    trouble: str
    """Why the files as they are now are not in use; "" when they are."""


class TlsFiles:
    """Follows the files of one connection; `use` is given each new context."""

    def __init__(
        self, name: str, tls: Tls, loaded: Loaded, *, clock: Clock, use: Callable[[ssl.SSLContext], None]
    ) -> None:
        self._name = name
        self._tls = tls
        self._loaded = loaded
        self._clock = clock
        self._use = use
        self._refused = ""
        """The mark of what did not fit together."""
        self._trouble = ""
        self._said = ""

    @property
    def any(self) -> bool:
        """Whether there is something to follow."""
        return self._tls.ca is not None or self._tls.certificate is not None

    def state(self) -> TlsState:
        """How it is now."""
        return TlsState(
            verified=self._tls.verify, certificate_ends=self._loaded.ends_at, trouble=self._trouble
        )

    async def follow(self) -> None:
        """For ever, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - what is in use goes on, whatever is wrong with a file
                log.bug("looking at the TLS files failed", error, connection=self._name)
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """Look once; returns when what was found is in use, or was said not to be."""
        mark = await asyncio.to_thread(mark_of, self._tls)
        if mark == self._loaded.mark:
            if self._trouble:
                log.info("the TLS files are again those in use", connection=self._name)
            self._trouble = self._refused = ""
        elif mark != self._refused:
            await self._clock.sleep(SETTLE)
            if await asyncio.to_thread(mark_of, self._tls) == mark:
                await self._take(mark)
        self._tell_the_end()

    async def _take(self, mark: str) -> None:
        try:
            loaded = await asyncio.to_thread(load, self._tls)
        except ConfigError as error:
            self._refused = mark
            problem = error.problems[0]
            self._trouble = f"{problem.file}: {problem.message}; the files of before stay in use"
            log.error("the changed TLS files cannot be used", connection=self._name, reason=self._trouble)
            return
        if loaded.mark != mark or await asyncio.to_thread(mark_of, self._tls) != mark:
            return  # changed while it was loaded: the next look sees it
        self._loaded, self._refused, self._trouble, self._said = loaded, "", "", ""
        self._use(loaded.context)
        ends = loaded.ends_at
        log.info(
            "the changed TLS files are in use",
            connection=self._name,
            certificate_ends=rfc3339(ends) if ends is not None else None,
        )

    def _tell_the_end(self) -> None:
        """Once when it comes near, once when it is there."""
        ends = self._loaded.ends_at
        if ends is None:
            return
        left = ends - self._clock.now()
        now = "" if left > SOON else "soon" if left > 0 else "over"
        if now == self._said:
            return
        self._said = now
        file = str(self._tls.certificate)
        if now == "soon":
            log.warning(
                "the certificate that is shown to the target ends soon: renew it in its place",
                connection=self._name,
                file=file,
                ends=rfc3339(ends),
            )
        elif now == "over":
            log.error(
                "the certificate that is shown to the target has ended: renew it in its place",
                connection=self._name,
                file=file,
                ended=rfc3339(ends),
            )
