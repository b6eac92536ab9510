"""What a crash dump shows: exceptions with all that hangs on them, values, tracebacks, log lines."""

from __future__ import annotations

import contextlib
import gc
import io
import traceback

import pytest

from agent.auth.memory import Credentials
from agent.auth.renewal import Trouble
from agent.auth.session import SessionStatus, Signed
from agent.auth.token import Grant, Token
from agent.auth.vault import Vault
from agent.errors import AgentError
from agent.logs import set_up_logs
from agent.session_row import SessionRow
from tests.support.auth_world import LOGIN, REFRESH
from tests.support.clock import turns
from tests.support.forms import forms_of
from tests.support.scripted import DROP, Answer

CANARY = "canary/pass+word==&%of the-world"
LOGOUT = "/api/auth/logout"
VALUES = (Credentials, Grant, SessionRow, SessionStatus, Signed, Token, Trouble, Vault)


@pytest.fixture
def dump():
    """All text that failures left behind; the log is part of it."""
    out = io.StringIO()
    set_up_logs("debug", "json", stream=out)
    yield out
    set_up_logs("info", "auto")


def everything_of(error):
    """One exception and whatever led to it, as a debugger or an error tracker shows them."""
    seen, left, texts = set(), [error], []
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "__notes__", ""))]
        texts.append("".join(traceback.format_exception(one)))
        left += [one.__cause__, one.__context__]
    return "\n".join(texts)


def living_values():
    """The repr of every value of the session that is in memory now, as a crash reporter prints locals."""
    return "\n".join(repr(each) for each in gc.get_objects() if isinstance(each, VALUES))


def echo(status):
    """An answer that repeats what it was sent, in words of its own."""
    return lambda request: Answer(
        status, json={"error": f"you sent {request.body.decode()}", "error_description": str(request.form)}
    )


ANSWERS = {
    "400": echo(400),
    "401": echo(401),
    "403": echo(403),
    "429": echo(429),
    "503": echo(503),
    "200 with an error": echo(200),
    "redirect": Answer(302, headers={"Location": f"http://127.0.0.1:9/?p={CANARY.replace(' ', '+')}"}),
    "dropped": DROP,
    "half": Answer(200, json={"access_token": "canary-half", "refresh_token": "canary-half"}, drop="half"),
    "bad token": Answer(200, json={"access_token": f"canary\r\n{CANARY}", "refresh_token": CANARY}),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_auth_52_no_secret_hangs_on_an_exception_a_value_or_a_log_line(world, dump, answer):
    world.secret("password", CANARY)
    world.api.password = CANARY
    world.configure(logout_path="/auth/logout", failures=100)
    session = world.start()
    said = []

    async def fails(ask):
        try:
            outcome = await ask
        except AgentError as error:
            said.append(everything_of(error))
        else:
            said.append(repr(outcome))
        said.append(living_values())

    await session.sign()
    pair = [token for _, token in [*enumerate(world.api.living), *enumerate(world.api.access)]]
    for path in (REFRESH, LOGIN, LOGOUT):
        world.server.script(path, ANSWERS[answer])
    await fails(session.rejected(1))
    await fails(session.refresh())
    await fails(session.login())
    await fails(session.forget())
    await fails(session.sign())
    await fails(session.login())
    said.append(repr(await world.row()))
    text = "\n".join([*said, dump.getvalue()])
    assert len(said) > 10
    secrets = [CANARY, "canary-half", *pair]
    assert [form for secret in secrets for form in forms_of(secret) if form in text.encode()] == []


async def test_auth_52_a_bug_that_names_a_token_is_blotted_in_the_log(world, dump):
    """The last line of defence: an exception of a library may hold what it was given."""
    session = world.start()
    old = await session.sign()

    async def broken(_who, token):
        raise ValueError(f"cannot send {token}")

    session._flights._renewal._grant.refresh = broken
    with contextlib.suppress(AgentError):
        await session.rejected(old.generation)
    await turns()
    logged = dump.getvalue()
    assert "a renewal broke" in logged
    assert "cannot send ********" in logged
    assert "refresh-1-" not in logged
