"""`type: token_command`: a program prints a token as JSON. Running it is the login; there is no refresh.

The program gets no shell, nothing on its stdin, no file of ours but 0, 1 and 2, and only the variables that
the config lists. It lives in a session of its own, which is killed as a whole when its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Collection, Mapping

from agent.auth.call import Call
from agent.auth.exchange import MAX_ANSWER, AuthApi, Denied, Exchange, Failed, Granted, Lost, judge_good
from agent.auth.grant import Credentials, Rules
from agent.auth.said import LEAST_SECRET, MAX_WORDS, blot
from agent.auth.session import Sealer, Secrets
from agent.auth.token import Token
from agent.config.model import TokenCommandAuth, TokenHeader
from agent.config.programs import distrust

_PIECE = 65_536
_KEPT = 65_536
"""Bytes of stderr that are kept: the last ones. Far more than is shown: half a secret would not be found."""


class TokenCommandGrant:
    """Runs the command; decides nothing."""

    def __init__(self, auth: TokenCommandAuth, api: AuthApi, secrets: Secrets, sealer: Sealer) -> None:
        del api, secrets  # the program has its own ways
        self.auth = auth
        self.rules = Rules(
            renews_by="login",
            login_limit=auth.login_limit,
            place="check `auth.command`",
            check="run the command of `auth.command` by hand, as the user of the agent",
        )
        self._sealer = sealer
        self._call = Call(url="", fields={}, answer=auth.answer, bearer=auth.header == TokenHeader())

    def credentials(self) -> Credentials:
        """The command is all there is to know; also whether it may be run at all, seen anew each time."""
        mark = self._sealer.mark(f"command {self.auth.command!r}")
        wrong = distrust(self.auth.command[0])
        problem = f"{wrong.message} ({wrong.hint})" if wrong is not None else ""
        return Credentials(place=mark, person="", mark=mark, problem=problem)

    async def refresh(self, who: Credentials, refresh_token: str) -> Exchange:
        """There is none: a renewal never asks for it."""
        raise AssertionError(who, bool(refresh_token))

    async def part(self, token: Token) -> Denied | Failed | Lost | str:
        """See `parting.Farewell`: nobody is told."""
        del token
        return ""

    async def login(self, who: Credentials) -> Exchange:
        """Run the command once."""
        del who
        try:
            process = await asyncio.create_subprocess_exec(
                *self.auth.command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                cwd="/",
                env=self._environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = (error.strerror or "").lower() if isinstance(error, OSError) else "an argument holds NUL"
            return Denied(
                status=0, text=f"{self.auth.command[0]} cannot be started: {why}", credentials=False
            )
        try:
            return await self._hear(process)
        finally:
            await _end(process)

    async def _hear(self, process: Process) -> Exchange:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(self.auth.timeout.total_seconds()):
                out, err, code = await asyncio.gather(
                    _all(process.stdout), _last(process.stderr), process.wait()
                )
        except TimeoutError:
            seconds = self.auth.timeout.total_seconds()
            return Lost(text=f"the command did not end within {seconds:g} s and was killed")
        except _TooMuch:
            return Denied(status=0, text=f"the command printed more than {MAX_ANSWER} bytes")
        if code != 0:
            how = (
                f"the command ended with {code}" if code > 0 else f"the command was killed by signal {-code}"
            )
            return Denied(status=0, text=how + _told(err, self._hidden()))
        answer = judge_good("the command ended well", 0, out, self._call)
        if isinstance(answer, Granted | Denied):
            return answer
        # Nothing was lost on any way: what it printed is what it prints.
        return Denied(status=0, text=answer.text)

    def _environment(self) -> Mapping[str, str]:
        return {name: os.environ[name] for name in self.auth.environment if name in os.environ}

    def _hidden(self) -> set[str]:
        """The values that it may print as it got them; paths, such as HOME and PATH, are no secrets."""
        values = self._environment().values()
        return {value for value in values if len(value) >= LEAST_SECRET and not value.startswith("/")}


class _TooMuch(Exception):
    """More than any token needs."""


async def _all(stream: asyncio.StreamReader) -> bytes:
    out = bytearray()
    while piece := await stream.read(_PIECE):
        out += piece
        if len(out) > MAX_ANSWER:
            raise _TooMuch
    return bytes(out)


async def _last(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while piece := await stream.read(_PIECE):
        kept = (kept + piece)[-_KEPT:]
    return kept


def _told(err: bytes, hidden: Collection[str]) -> str:
    """The end of stderr in one line, without anything hidden and what looks like a token."""
    text = blot(err.decode("utf-8", "replace"), hidden)
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f": {words[-MAX_WORDS:]}" if words else ""


async def _end(process: Process) -> None:
    """Nobody of the command's session stays behind, and its pipes are closed, also when we are cancelled."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # A number that is the group of somebody alive is not given to others, so this hits nobody else.
        os.killpg(process.pid, signal.SIGKILL)
    # Who left the session may hold the pipes for ever; only the transport closes our ends of them.
    process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001
    await asyncio.shield(asyncio.ensure_future(process.wait()))
