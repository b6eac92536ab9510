"""One renewal: from the pair there is to the next one, or to the reason why not. Never two at a time.

newer pair in the store ──────────────────────────────▶ adopt
refresh ── Granted ──▶ store ──▶ use
        ── Lost ─────▶ the same once more, at once ──▶ …
        ── Denied, in login_again_on ──▶ newer in the store? adopt : login, or the seed
        ── anything else ──▶ Trouble: the pair stays, nobody logs in
login   ── Granted ──▶ store ──▶ use
        ── Denied ───▶ counted, over restarts
seed    ── not spent ▶ refresh with it
        ── spent ────▶ Trouble until the secret is another one
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Literal

from agent.auth.exchange import Denied, Exchange, Failed, Granted, Lost
from agent.auth.grant import Credentials, Grant
from agent.auth.memory import MemoryUnreadable, SessionMemory
from agent.auth.said import HINTS
from agent.auth.token import Moment, Token
from agent.clock import Clock
from agent.logs import get_log

REPLAY_WINDOW = 30.0
"""Seconds of CLOCK_BOOTTIME after sending in which a lost answer may be replayed. Servers that allow it
at all allow it briefly, and a machine that slept in between must not do it blindly."""
SECRET_PAUSE = 30.0
"""Seconds between two complaints about an unreadable secret; that it is mended is seen sooner."""

log = get_log("auth")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why there is no new pair, and how to go on."""

    text: str
    hint: str = ""
    at_least: float | None = None
    """Seconds to wait at least."""
    slow: bool = False
    """Asking again soon cannot help."""
    blocked: bool = False
    """Failed logins stopped it."""
    no_secret: bool = False
    """A secret could not be read, and nothing was sent."""
    forget: Literal["", "refresh", "all"] = ""
    """What of the old pair must not be used again; an access token may outlive its refresh token."""


class Renewal:
    """Makes the next pair."""

    def __init__(self, grant: Grant, memory: SessionMemory, clock: Clock) -> None:
        self._grant = grant
        self._rules = grant.rules
        self._memory = memory
        self._clock = clock
        self._name = memory.row.connection
        self._said = ""
        """What the server said when the last refresh token died, or the last login was refused."""
        self._check = grant.rules.check
        """What to look at when logins are refused."""
        self._replayed = -1
        """The generation whose refresh token has had its one replay."""

    def moment(self) -> Moment:
        """Now, on both clocks."""
        return Moment(wall=self._clock.now(), boot=self._clock.boottime())

    async def load(self) -> Token | None:
        """The pair of the last run of the agent, if it is still ours. Raises MemoryUnreadable."""
        token = await self._memory.load(self._rules.login_limit)
        if self._memory.row.refreshing is not None:
            # That answer is long gone: the stored token gets one plain try, not a try and a replay.
            self._replayed = self._memory.row.generation
        return self._memory.recognise(await self._credentials(), token)

    async def is_mended(self, trouble: Trouble) -> bool:
        """Whether it was a matter of the credentials, and others are there now than those that failed."""
        if not (trouble.no_secret or trouble.slow or trouble.blocked or self._memory.row.failures):
            return False
        who = await self._credentials()
        if trouble.no_secret:
            return who.ready
        if trouble.blocked and self._rules.renews_by == "seed":
            return bool(who.seed) and not self._memory.is_spent(self._memory.mark(who.seed))
        return who.mark not in {"", self._memory.row.secret_mark}

    async def run(self, token: Token | None, rejected: int) -> Token | Trouble:
        """The next pair; generations up to `rejected` are known to be dead."""
        async with self._memory.turn():
            return await self._run(token, rejected)

    async def _run(self, token: Token | None, rejected: int) -> Token | Trouble:
        try:
            newer = await self._memory.newer()
            who = await self._credentials()
            # A newer pair may be another's: of the session before a reload, at another Auth API.
            ours = self._memory.recognise(who, newer or token)
            usable = newer is not None and newer.generation > rejected and newer.valid(self.moment())
            if newer is not None and ours is newer and usable:
                return newer
            if (
                self._rules.renews_by != "login"
                and ours is not None
                and ours.refresh
                and (done := await self._refresh(ours, who)) is not None
            ):
                return done
            begin = self._seed if self._rules.renews_by == "seed" else self._login
            done = await begin(who)
            if isinstance(done, Trouble) and ours is None:
                done = replace(done, forget="all")
            return done  # noqa: TRY300 - the except is for all of it
        except MemoryUnreadable as error:
            return Trouble(text=error.message, hint="the state folder is needed before anybody signs in")

    async def login(self, token: Token | None) -> Token | Trouble:
        """A login that a person asked for; the pair there is stays until there is another."""
        async with self._memory.turn():
            return await self._log_in(token)

    async def _log_in(self, token: Token | None) -> Token | Trouble:
        try:
            token = await self._memory.newer() or token
            who = await self._credentials()
            ours = self._memory.recognise(who, token)
            begin = self._seed if self._rules.renews_by == "seed" else self._login
            done = await begin(who, keep_pair=ours is not None)
        except MemoryUnreadable as error:
            return Trouble(text=error.message, hint="the state folder is needed before anybody signs in")
        if isinstance(done, Trouble):
            done = replace(done, forget="") if ours is not None else replace(done, forget="all")
        return done

    async def part(self, token: Token) -> Denied | Failed | Lost | str:
        """See `parting.Farewell`."""
        return await self._grant.part(token)

    async def _refresh(
        self, token: Token, who: Credentials, *, keep_pair: bool = False
    ) -> Token | Trouble | None:
        """The next pair, a trouble, or None: the Auth API itself wants a login."""
        if who.refresh is None:
            return replace(_unreadable(who), forget="")
        await self._memory.intend(token.generation)
        sent = self.moment()
        answer = await self._grant.refresh(who, token.refresh)
        if isinstance(answer, Lost) and self._may_replay(token, sent):
            log.warning("an answer was lost: the same refresh token once more", connection=self._name)
            self._replayed = token.generation
            sent = self.moment()
            answer = await self._grant.refresh(who, token.refresh)
        seeded = self._rules.renews_by == "seed"
        match answer:
            case Granted(grant=grant):
                if grant.note:
                    log.warning("odd answer of refresh", connection=self._name, note=grant.note)
                # A server that does not rotate takes the same one again, also when the pair was lost.
                rotated = seeded and grant.refresh not in {"", token.refresh}
                spent = self._memory.mark(token.refresh) if rotated else ""
                return await self._memory.keep(grant, sent, token, spent=spent)
            case Denied(status=status, error=word, text=text) if {status, word} & self._rules.dead_on:
                log.warning("the refresh token is dead", connection=self._name, answer=text)
                newer = await self._memory.newer()
                if newer is not None:
                    newer = self._memory.recognise(who, newer)
                if newer is None and seeded:
                    await self._memory.bury(self._memory.mark(token.refresh), keep_pair=keep_pair)
                    self._said = text
                return newer
            case _:
                return self._refused_refresh(answer)

    async def _seed(self, who: Credentials, *, keep_pair: bool = False) -> Token | Trouble:
        """The next pair out of the refresh token in the secret: only if it was not used up before."""
        if not who.seed:
            return _unreadable(who)
        if not self._memory.is_spent(self._memory.mark(who.seed)):
            row = self._memory.row
            seed = Token(
                access="", refresh=who.seed, generation=row.generation, obtained=self.moment(), lifetime=0.0
            )
            if (done := await self._refresh(seed, who, keep_pair=keep_pair)) is not None:
                return replace(done, forget="refresh") if isinstance(done, Trouble) else done
        said = f" ({self._said})" if self._said else ""
        return Trouble(
            text=f"the refresh token in the secret is used up, or was refused{said}",
            hint="put a new refresh token into the secret; it is picked up by itself",
            slow=True,
            blocked=True,
            forget="refresh",
        )

    def _may_replay(self, token: Token, sent: Moment) -> bool:
        age = self._clock.boottime() - sent.boot
        return self._replayed != token.generation and 0 <= age <= REPLAY_WINDOW

    async def _login(self, who: Credentials, *, keep_pair: bool = False) -> Token | Trouble:
        if (wait := self._memory.blocked_for()) > 0:
            return self._blocked(wait)
        if who.problem:
            return _unreadable(who)
        limit = self._rules.login_limit
        await self._memory.count_login(limit, keep_pair=keep_pair)
        sent = self.moment()
        answer = await self._grant.login(who)
        match answer:
            case Granted(grant=grant):
                if self._rules.renews_by == "login":
                    grant = replace(grant, refresh="")
                if grant.note or not (grant.refresh or self._rules.renews_by == "login"):
                    note = grant.note or "the answer has no `refresh_token`: each renewal is a login"
                    log.warning("odd answer of login", connection=self._name, note=note)
                return await self._memory.keep(grant, sent, None)
            case Denied(credentials=True, error=word, text=text):
                wait = self._memory.blocked_for()
                self._said, self._check = text, HINTS.get(word, self._rules.check)
                return Trouble(
                    text=f"the login was refused: {text}",
                    hint=self._check,
                    at_least=wait if wait > 0 else None,
                    blocked=wait > 0,
                    forget="refresh",
                )
            case _:
                await self._memory.uncount_login()
                return self._unheard_login(answer)

    async def _credentials(self) -> Credentials:
        return await asyncio.to_thread(self._grant.credentials)

    def _refused_refresh(self, answer: Exchange) -> Trouble:
        match answer:
            case Denied(status=status, error=word, text=text, credentials=True):
                # 200 with an error in it is no refusal by itself: only its word tells it from a good answer.
                dead: int | str = status if 400 <= status < 500 else word  # noqa: PLR2004 - HTTP
                again = f"if {dead} means here that a refresh token is dead, add it to `login_again_on`"
                hint = HINTS.get(word, again if dead else self._rules.place)
                return Trouble(text=f"refresh was refused: {text}", hint=hint, slow=True)
            case Denied(text=text):
                return Trouble(text=f"refresh: {text}", hint=self._rules.place, slow=True)
            case Failed(text=text, retry_after=after):
                return Trouble(text=f"refresh failed: {text}", at_least=after)
            case Lost(text=text):
                return Trouble(text=f"the answer of refresh was lost: {text}")
            case Granted():
                raise AssertionError(answer)

    def _unheard_login(self, answer: Exchange) -> Trouble:
        match answer:
            case Denied(text=text):
                hint = self._rules.place
                return Trouble(text=f"login: {text}", hint=hint, slow=True, forget="refresh")
            case Failed(text=text, retry_after=after):
                return Trouble(text=f"login failed: {text}", at_least=after, forget="refresh")
            case Lost(text=text):
                return Trouble(text=f"the answer of login was lost: {text}", forget="refresh")
            case Granted():
                raise AssertionError(answer)

    def _blocked(self, wait: float) -> Trouble:
        failures, said = self._memory.row.failures, f" ({self._said})" if self._said else ""
        what = "the login was refused" if failures == 1 else f"{failures} logins in a row were refused"
        return Trouble(
            text=f"{what}{said}; the next one is allowed in {wait:.0f} s",
            hint=self._check,
            at_least=wait,
            blocked=True,
            forget="refresh",
        )


def _unreadable(who: Credentials) -> Trouble:
    return Trouble(
        text=who.problem,
        hint="it is looked at again by itself",
        at_least=SECRET_PAUSE,
        no_secret=True,
        forget="refresh",
    )
