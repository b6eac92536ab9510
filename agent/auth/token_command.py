"""`type: token_command`: a program prints a token as JSON. Running it is the login; there is no refresh.

The program gets no shell, nothing on its stdin, no file of ours but 0, 1 and 2, and only the variables that
the config lists. When it has ended, or its time is over, nothing that it started lives on.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from agent.auth.call import Call
from agent.auth.exchange import MAX_ANSWER, AuthApi, Denied, Exchange, Failed, Granted, Lost, judge_good
from agent.auth.grant import Credentials, Rules
from agent.auth.said import LEAST_SECRET, MAX_WORDS, blot
from agent.auth.session import Sealer, Secrets
from agent.auth.token import Token
from agent.config.model import TokenCommandAuth, TokenHeader
from agent.config.programs import distrust
from agent.programs import Ended, Program, in_own_thread, run_program


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
        """Run the command once, in a thread of its own."""
        del who
        out = bytearray()
        program = Program(
            command=self.auth.command,
            environment=self._environment(),
            timeout=self.auth.timeout.total_seconds(),
            max_bytes=MAX_ANSWER,
        )
        ended = await in_own_thread(lambda cancelled: run_program(program, out.extend, cancelled))
        if ended.how == "exit" and ended.code == 0:
            answer = judge_good("the command ended well", 0, bytes(out), self._call)
            if isinstance(answer, Granted | Denied):
                return answer
            # Nothing was lost on any way: what it printed is what it prints.
            return Denied(status=0, text=answer.text)
        return self._failed(ended)

    def _failed(self, ended: Ended) -> Exchange:
        match ended.how:
            case "exit":
                how = f"ended with {ended.code}" if ended.code > 0 else f"was killed by signal {-ended.code}"
                return Denied(status=0, text=f"the command {how}" + _told(ended.errors, self._hidden()))
            case "not started":
                text = f"{self.auth.command[0]} cannot be started: {ended.why}"
                return Denied(status=0, text=text, credentials=False)
            case "too much":
                return Denied(status=0, text=f"the command printed more than {MAX_ANSWER} bytes")
            case "timeout":
                seconds = self.auth.timeout.total_seconds()
                return Lost(text=f"the command did not end within {seconds:g} s and was killed")
            case _:
                return Lost(text="the command was killed from outside")

    def _environment(self) -> Mapping[str, str]:
        return {name: os.environ[name] for name in self.auth.environment if name in os.environ}

    def _hidden(self) -> set[str]:
        """The values that it may print as it got them; paths, such as HOME and PATH, are no secrets."""
        values = self._environment().values()
        return {value for value in values if len(value) >= LEAST_SECRET and not value.startswith("/")}


def _told(err: bytes, hidden: Collection[str]) -> str:
    """The end of stderr in one line, without anything hidden and what looks like a token."""
    text = blot(err.decode("utf-8", "replace"), hidden)
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f": {words[-MAX_WORDS:]}" if words else ""
