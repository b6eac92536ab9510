"""Sign-in, refresh and the harmless calls, against an Auth API that rotates and targets that answer oddly."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from agent.clock import SystemClock
from agent.config.model import AgentSettings, BearerAuth, Connection, HeaderAuth, NoAuth, SecretRef, Tls
from agent.doctor import Deadlines, Examination, Wish
from agent.spool import Spool
from tests.doctor.conftest import PATIENT, Watching
from tests.support.auth_world import LOGIN, PASSWORD, REFRESH, WHERE, World, auth_client
from tests.support.scripted import DROP, Answer, ScriptedServer


class Practice:
    """A connection to examine again and again; its state lasts."""

    def __init__(self, folder, world):
        self.world = world
        self.config = folder
        self.state = folder / "state"
        self.endpoints = {"planning": world.server.url + "/planning?key=v"}
        self.auth = None
        self.texts = []
        world.server.script("/planning", Answer(204))

    async def examine(self, **wish):
        for name in ("user", "password"):
            if (path := self.config / "secrets" / name).exists():
                path.chmod(0o600)
        screen = Watching()
        connection = Connection(
            name="p", auth=self.auth or self.world.auth, endpoints=self.endpoints, where=WHERE, tls=Tls()
        )
        order = Wish(
            connection=connection,
            settings=AgentSettings(state=self.state),
            config=self.config,
            daemon=False,
            **wish,
        )
        deadlines = Deadlines(**{**asdict(PATIENT), "sign_in": 50})
        report = await Examination(order, screen, SystemClock(), deadlines=deadlines).run()
        assert list(report.steps) == screen.steps
        self.texts.append(repr(report) + json.dumps([dict(step.verdict.data) for step in report.steps]))
        self.report = report
        return {step.name: step.verdict for step in report.steps}

    @property
    def auth_calls(self):
        return [each.path.rpartition("/")[2] for each in [*self.world.logins, *self.world.refreshes]]

    @property
    def calls(self):
        return self.world.server.asked("/planning")


@pytest.fixture
async def practice(tmp_path):
    async with ScriptedServer() as server, auth_client() as client:
        world = World(tmp_path, server, client)
        one = Practice(tmp_path, world)
        yield one
        await world.close()
    told = "".join(one.texts)
    for secret in [PASSWORD, "aaaaaaaaaaaa", "rrrrrrrrrrrr", "Bearer ", "key=v"]:
        assert secret not in told


async def test_the_first_check_logs_in_once_and_the_next_ones_use_the_stored_token(practice):
    steps = await practice.examine()
    assert practice.report.healthy
    assert steps["sign-in"].says.startswith("signed in by login: generation 1, good for ")
    assert steps["call"].says == "204 No Content: reached, and the token is taken"
    steps = await practice.examine()
    assert steps["sign-in"].says.startswith("signed in with the stored token: generation 1, good for ")
    assert practice.auth_calls == ["password"]
    assert [each.method for each in practice.calls] == ["HEAD", "HEAD"]
    assert {each.headers["Authorization"] for each in practice.calls} == {"Bearer access-1-aaaaaaaaaaaa"}
    assert {each.method for each in practice.world.server.asked("/")} == {"HEAD"}
    assert all(each.body == b"" for each in practice.calls)


async def test_a_refresh_that_is_asked_for_rotates_exactly_once(practice):
    await practice.examine()
    steps = await practice.examine(refresh=True)
    assert steps["refresh"].says.startswith("rotated: generation 2, good for ")
    assert practice.auth_calls == ["password", "refresh"]
    assert practice.calls[-1].headers["Authorization"] == "Bearer access-2-aaaaaaaaaaaa"


async def test_a_dead_refresh_token_is_told_with_the_login_that_it_cost(practice):
    await practice.examine()
    practice.world.api.living.clear()
    steps = await practice.examine(refresh=True)
    assert steps["refresh"].says.startswith("the refresh token was dead: a new login: generation 2")
    assert practice.auth_calls == ["password", "password", "refresh"]


async def test_a_wrong_password_is_sent_exactly_once_and_all_that_needs_a_token_is_left_out(practice):
    practice.world.secret("password", "another one entirely")
    steps = await practice.examine(refresh=True)
    assert steps["sign-in"].mark == "failed"
    assert "the login was refused: 401" in steps["sign-in"].says
    assert "check username and password" in steps["sign-in"].hint
    assert (steps["refresh"].mark, steps["call"].mark) == ("skipped", "skipped")
    assert steps["call"].says == "since sign-in failed"
    assert practice.auth_calls == ["password"]
    assert practice.calls == []


async def test_a_blocked_login_is_not_tried(practice):
    practice.world.secret("password", "another one entirely")
    practice.world.configure(failures=1)
    await practice.examine()
    steps = await practice.examine()
    assert "the login was refused; the next one is allowed in " in steps["sign-in"].says
    assert steps["sign-in"].data["failures"] == 1
    assert steps["sign-in"].data["next_try_at"]
    assert practice.auth_calls == ["password"]


async def test_a_refresh_that_fails_never_becomes_a_login(practice):
    await practice.examine()
    practice.world.server.script(REFRESH, Answer(503, b"out of order"))
    steps = await practice.examine(refresh=True)
    assert steps["sign-in"].mark == "good"
    assert steps["refresh"].mark == "failed"
    assert "503" in steps["refresh"].says
    assert practice.auth_calls == ["password", "refresh"]
    assert steps["call"].mark == "good"  # the old token still is


async def test_without_sign_in_nothing_is_signed_and_no_state_is_made(practice):
    steps = await practice.examine(sign_in=False)
    assert practice.report.healthy
    assert steps["sign-in"].says == steps["call"].says == "not wanted (--no-sign-in)"
    assert practice.auth_calls == []
    assert not practice.state.exists()


async def test_a_secret_that_is_missing_is_named_with_what_to_do(practice):
    (practice.config / "secrets/password").unlink()
    steps = await practice.examine()
    assert steps["secrets"].mark == "failed"
    assert steps["secrets"].says == "not all are readable"
    assert "the secret {secret: password} does not exist" in steps["secrets"].details[0]
    assert "chmod 600" in steps["secrets"].hint
    assert steps["sign-in"].says == "since a secret cannot be read"
    assert practice.auth_calls == []


async def test_a_state_that_another_process_holds_is_told(practice):
    spool = Spool.open(practice.state, max_bytes=10**9, clock=SystemClock(), owner="push")
    try:
        steps = await practice.examine()
    finally:
        spool.close()
    assert steps["sign-in"].mark == "failed"
    assert "push" in steps["sign-in"].says
    assert steps["call"].says == "since nobody signed in"
    assert practice.auth_calls == []


async def test_an_auth_api_that_cannot_be_reached_leaves_the_sign_in_out(practice):
    practice.world.configure(url="http://127.0.0.1:9/api")
    steps = await practice.examine()
    assert steps["sign-in"].says == "since tcp of http://127.0.0.1:9 failed"
    assert [step.place for step in practice.report.steps if step.name == "tcp"] == [
        "http://127.0.0.1:9",
        practice.world.server.url,
    ]
    assert not practice.state.exists()


# ---------------------------------------------------------------------------------- what an answer means

SCOPE = 'Bearer realm="x", error="insufficient_scope", error_description="needs more", scope="trips write"'


@pytest.mark.parametrize(
    ("answer", "mark", "words"),
    [
        (Answer(200), "good", "200 OK: reached, and the token is taken"),
        (
            Answer(302, headers={"Location": "/login"}),
            "warning",
            "302 Found: a redirect, which is never followed",
        ),
        (Answer(400), "good", "400 Bad Request: reached; the server wants something else than HEAD"),
        (Answer(401), "failed", "401 Unauthorized: the token is refused"),
        (
            Answer(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}),
            "failed",
            "401 Unauthorized: the token is refused (invalid_token)",
        ),
        (
            Answer(403, headers={"WWW-Authenticate": SCOPE}),
            "failed",
            '403 Forbidden: the token is taken, and this user has no permission here (insufficient_scope (scope "trips write" is needed: see `auth.scope`) - needs more)',
        ),
        (Answer(404), "warning", "404 Not Found: reached, and there is nothing at this path for HEAD"),
        (Answer(405), "good", "405 Method Not Allowed: reached; it takes no HEAD"),
        (Answer(429), "warning", "429 Too Many Requests: the token was not refused"),
        (Answer(501), "good", "501 Not Implemented: reached; it knows no HEAD"),
        (Answer(503), "failed", "503 Service Unavailable: the server has a fault"),
        (DROP, "failed", "connection closed without an answer"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else None,
)
async def test_each_answer_to_the_harmless_call_has_its_meaning(practice, answer, mark, words):
    practice.world.server.script("/planning", answer)
    steps = await practice.examine()
    assert (steps["call"].mark, practice.report.healthy) == (mark, mark != "failed")
    assert steps["call"].says.startswith(words)
    assert [each.method for each in practice.calls] == ["HEAD"]
    assert practice.world.server.asked("/login") == []


async def test_a_server_that_repeats_what_it_was_sent_gets_none_of_it_into_the_report(practice):
    def repeat(request):
        token = request.headers["Authorization"].removeprefix("Bearer ")
        told = f'Bearer error="invalid_token", error_description="{token} is not good"'
        return Answer(401, headers={"WWW-Authenticate": told})

    practice.world.server.script("/planning", repeat)
    steps = await practice.examine()
    assert steps["call"].says.endswith("(invalid_token - ******** is not good)")


async def test_an_auth_api_that_repeats_the_password_gets_none_of_it_into_the_report(practice):
    def repeat(request):
        return Answer(401, json={"error": f"{request.form['username']} has no {request.form['password']}"})

    practice.world.server.script(LOGIN, repeat)
    steps = await practice.examine()
    assert "******** has no ********" in steps["sign-in"].says


# ---------------------------------------------------------------------------------- other kinds of auth


@pytest.mark.parametrize("kind", ["bearer", "header"])
async def test_a_fixed_secret_needs_no_state(practice, kind):
    ref = SecretRef(kind="secret", name="password", where=WHERE)
    practice.world.secret("password", "a-fixed-token-aaaaaaaaaaaa")
    practice.auth = BearerAuth(token=ref) if kind == "bearer" else HeaderAuth(name="X-Api-Key", value=ref)
    steps = await practice.examine(refresh=True)
    assert practice.report.healthy
    assert steps["sign-in"].says == "the secret is there and goes with each request"
    assert steps["refresh"].says == "the secret was read again; there is nothing to rotate"
    assert not practice.state.exists()
    name = "Authorization" if kind == "bearer" else "X-Api-Key"
    assert practice.calls[0].headers[name].endswith("a-fixed-token-aaaaaaaaaaaa")


@pytest.mark.parametrize(
    ("status", "words"), [(200, "200 OK: reached"), (401, "401 Unauthorized: the target wants a sign-in")]
)
async def test_without_auth_there_is_nothing_to_sign(practice, status, words):
    practice.auth = NoAuth()
    practice.world.server.script("/planning", Answer(status))
    steps = await practice.examine(refresh=True)
    assert steps["sign-in"].says == "the connection needs none (`auth: {type: none}`)"
    assert steps["call"].says == words
    assert "refresh" not in steps
