"""The whole examination, told in order.

config ─▶ secrets ─▶ each origin: dns ─▶ tcp (─▶ proxy) ─▶ tls ─▶ http
                  ─▶ sign-in ─▶ refresh ─▶ each endpoint: call
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clock import Clock
from agent.config import SecretStore
from agent.config.model import AgentSettings, Connection, NoAuth
from agent.config.secrets import references
from agent.doctor.desk import FIXED, ByDaemon, Desk, alone
from agent.doctor.dial import Resolver, system_resolver
from agent.doctor.findings import Called, NoToken, Report, SignedIn, Verdict
from agent.doctor.notebook import Notebook, Screen
from agent.doctor.places import places_of, shown
from agent.doctor.proxies import via_of
from agent.doctor.tokens import Reference, judge_refresh, judge_secrets, judge_sign_in
from agent.doctor.verdicts import judge_call
from agent.doctor.visit import Deadlines, Means, Visit
from agent.errors import AgentError, ConfigError, Problem, SecretError
from agent.message import JsonValue
from agent.phrases import counted
from agent.tls import ssl_context

_FILES = 20.0
"""Seconds for what reads files only."""
_TAKING: Final = 40.0
"""Seconds to take the state folder: a large database is checked when it is opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is to be examined, and how far it may go."""

    connection: Connection
    warnings: Sequence[Problem] = ()
    """Of the connection's file."""
    settings: AgentSettings
    config: Path
    daemon: bool
    """One runs on the state folder."""
    sign_in: bool = True
    refresh: bool = False


class Examination:
    """One connection, once."""

    def __init__(
        self,
        wish: Wish,
        screen: Screen,
        clock: Clock,
        *,
        resolver: Resolver = system_resolver,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._wish = wish
        self._clock = clock
        self._resolver = resolver
        self._deadlines = deadlines or Deadlines()
        self._notebook = Notebook(screen, clock)
        self._places = places_of(wish.connection)
        self._failed: dict[str, str] = {}
        """Origin → the step there that failed."""
        self._signs = not isinstance(wish.connection.auth, NoAuth)

    async def run(self) -> Report:
        """All steps."""
        take = self._notebook.take
        await take("config", "", self._config(), deadline=_FILES)
        secrets = await take("secrets", "", self._secrets(), deadline=_FILES)
        context = await asyncio.to_thread(_context, self._wish.connection)
        means = Means(
            clock=self._clock,
            context=context,
            host=self._wish.connection.tls.host,
            via=via_of(self._wish.connection, self._wish.config, self._clock),
            resolver=self._resolver,
            deadlines=self._deadlines,
        )
        for place in self._places:
            if failed := await Visit(place, self._notebook, means).pay():
                self._failed[place.origin] = f"since {failed} of {place.origin} failed"
        why = self._why_not(secrets)
        if why:
            self._skip_signed(why)
        else:
            await self._signed()
        return self._notebook.report(self._wish.connection.name, daemon=self._wish.daemon)

    # ------------------------------------------------------------------------------ before the network

    async def _config(self) -> Verdict:
        connection, warnings = self._wish.connection, self._wish.warnings
        endpoints = sum(len(place.endpoints) for place in self._places)
        words = _words(type(connection.auth).__name__)
        says = f"{connection.where.file} is right: auth {words}, {counted(endpoints, 'endpoint')}"
        data: dict[str, JsonValue] = {
            "file": connection.where.file,
            "origins": [place.origin for place in self._places],
        }
        if not warnings:
            return Verdict(mark="good", says=says, data=data)
        details = tuple(f"{each.path}: {each.message}".removeprefix(": ") for each in warnings)
        return Verdict(
            mark="warning",
            says=f"{says}; {counted(len(warnings), 'warning')}",
            details=details,
            hint=warnings[0].hint,
            data=data,
        )

    async def _secrets(self) -> Verdict:
        store = SecretStore(self._wish.config.absolute())
        found = await asyncio.to_thread(_look_up, self._wish.connection, store)
        return judge_secrets(found, daemon=self._wish.daemon)

    # ------------------------------------------------------------------------------ signed steps

    def _why_not(self, secrets: Verdict) -> str:
        """Why nothing is signed; empty: it may be."""
        if not self._wish.sign_in:
            return "not wanted (--no-sign-in)"
        if secrets.mark == "failed":
            return "since a secret cannot be read"
        auth = next((place for place in self._places if place.signs_in), None)
        return self._failed.get(auth.origin, "") if auth is not None else ""

    def _skip_signed(self, why: str) -> None:
        self._notebook.skip("sign-in", "", why)
        if self._wish.refresh:
            self._notebook.skip("refresh", "", why)
        for place in self._places:
            for _, url in place.endpoints:
                self._notebook.skip("call", shown(url), why)

    async def _signed(self) -> None:
        wish = self._wish
        async with contextlib.AsyncExitStack() as stack:
            if wish.daemon:
                await self._with(ByDaemon(wish.settings.state, wish.connection.name))
                return
            taking = alone(wish.connection, settings=wish.settings, config=wish.config, clock=self._clock)
            try:
                async with asyncio.timeout(_TAKING):
                    desk = await stack.enter_async_context(taking)
            except (AgentError, TimeoutError) as error:
                await self._notebook.take("sign-in", "", _no_state(error), deadline=_FILES)
                if wish.refresh:
                    self._notebook.skip("refresh", "", "since nobody signed in")
                self._skip_calls("since nobody signed in")
                return
            await self._with(desk)

    async def _with(self, desk: Desk) -> None:
        limits = self._deadlines
        if not self._signs:
            self._notebook.skip("sign-in", "", "the connection needs none (`auth: {type: none}`)")
        else:
            judged = self._judged(desk.sign_in, judge_sign_in)
            verdict = await self._notebook.take("sign-in", "", judged, deadline=limits.sign_in)
            if verdict.mark == "failed":
                if self._wish.refresh:
                    self._notebook.skip("refresh", "", "since sign-in failed")
                self._skip_calls("since sign-in failed")
                return
        if self._wish.refresh and self._signs:
            judged = self._judged(desk.refresh, judge_refresh)
            await self._notebook.take("refresh", "", judged, deadline=limits.sign_in)
        for place in self._places:
            for name, url in place.endpoints:
                if why := self._failed.get(place.origin):
                    self._notebook.skip("call", shown(url), why)
                else:
                    await self._notebook.take(
                        "call", shown(url), self._call(desk, name), deadline=limits.call
                    )

    def _skip_calls(self, why: str) -> None:
        for place in self._places:
            for _, url in place.endpoints:
                self._notebook.skip("call", shown(url), why)

    async def _judged(
        self,
        work: Callable[[], Awaitable[SignedIn | NoToken]],
        judge: Callable[..., Verdict],
    ) -> Verdict:
        finding = await work()
        fixed = isinstance(self._wish.connection.auth, FIXED)
        return judge(finding, self._clock.now(), fixed=fixed)

    async def _call(self, desk: Desk, endpoint: str) -> Verdict:
        finding = await desk.call(endpoint)
        if isinstance(finding, Called):
            return judge_call(finding, signed=self._signs)
        return Verdict(mark="failed", says=finding.text, hint=finding.hint)


async def _no_state(error: AgentError | TimeoutError) -> Verdict:
    if isinstance(error, TimeoutError):
        says = f"the state folder could not be opened within {_TAKING:g} s"
        return Verdict(mark="failed", says=says, hint="start the daemon, and check again through it")
    if isinstance(error, ConfigError):
        return Verdict(mark="failed", says=_line(error.problems[0]), hint=_hint(error.problems[0]))
    hint = error.hint or "run this as the daemon's user; if a daemon is starting or stopping, try again"
    return Verdict(mark="failed", says=error.message, hint=hint)


def _line(problem: Problem) -> str:
    return f"{problem.file}: {problem.path}: {problem.message}".replace(": : ", ": ")


def _hint(problem: Problem) -> str:
    if problem.message == os.strerror(errno.EACCES):
        return "run this as the daemon's user, who must be able to read it"
    return problem.hint or f"correct that file, or what `{problem.path}` of the connection says"


def _context(connection: Connection) -> ssl.SSLContext | ConfigError:
    try:
        return ssl_context(connection.tls)
    except ConfigError as error:
        return error


def _look_up(connection: Connection, store: SecretStore) -> list[Reference]:
    found = []
    for ref in references(connection):
        name = f"{{{ref.kind}: {ref.name}}}"
        try:
            store.resolve(ref)
        except SecretError as error:
            found.append(Reference(name, ref.where.path, error.message, error.hint))
        else:
            found.append(Reference(name, ref.where.path))
    return found


def _words(name: str) -> str:
    """`ClientCredentialsAuth` → `client_credentials`, as the user writes it."""
    return {"NoAuth": "none"}.get(name) or re.sub(
        r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix("Auth")
    ).lower()
