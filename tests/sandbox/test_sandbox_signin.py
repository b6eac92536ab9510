from __future__ import annotations

import pytest

INGEST = "/ingest/things"


async def test_a_login_gives_the_pair_as_documented(start):
    sandbox, client = await start(signed_in=False)
    status, pair = await client.login()
    assert status == 200
    assert sorted(pair) == ["access_token", "expires_in", "refresh_token", "token_type"]
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", 3600)
    assert pair["access_token"].count(".") == pair["refresh_token"].count(".") == 2
    assert sandbox.state().logins == 1


async def test_a_wrong_password_is_refused_and_counted(start):
    sandbox, client = await start(signed_in=False)
    assert (await client.login(password="guess"))[0] == 401
    assert (await client.login(username="someone"))[0] == 401
    assert (sandbox.state().logins, sandbox.state().failed_logins) == (0, 2)


async def test_a_refresh_rotates_and_the_old_access_token_lives_on(start):
    sandbox, client = await start()
    first = client.pair
    status, second = await client.refresh()
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    for pair in (first, second):
        client.pair = pair
        assert (await client.send(INGEST, b"{}"))[0] == 200
    assert [row.token for row in sandbox.requests("ingest/things")] == [1, 2]
    assert sandbox.state().refreshes == 1


async def test_a_used_refresh_token_is_dead_and_its_reuse_reported(start):
    sandbox, client = await start()
    used = client.pair["refresh_token"]
    await client.refresh()
    assert (await client.refresh(used))[0] == 401
    assert (await client.refresh("never-seen"))[0] == 401
    state = sandbox.state()
    assert (state.refresh_reuse, state.failed_refreshes, state.refreshes) == (1, 2, 1)


async def test_a_dead_refresh_token_answers_as_a_plain_keycloak_when_asked_to(start):
    _, client = await start(dead_refresh_answer=400)
    status, document = await client.refresh("never-seen")
    assert status == 400
    assert "invalid_grant" in document["error"]


async def test_an_access_token_ends_after_its_life(start, clock):
    sandbox, client = await start(token_life=60)
    assert client.pair["expires_in"] == 60
    clock.time += 59
    assert (await client.send(INGEST, b"{}"))[0] == 200
    clock.time += 1
    status, _, headers = await client.send(INGEST, b"{}")
    assert status == 401
    assert headers["WWW-Authenticate"] == 'Bearer realm="sandbox", error="invalid_token"'
    assert sandbox.state().unauthorized == 1


async def test_a_refresh_token_ends_after_a_day(start, clock):
    sandbox, client = await start()
    clock.time += 24 * 3600
    assert (await client.refresh())[0] == 401
    assert sandbox.state().refresh_reuse == 0
    assert (await client.login())[0] == 200


async def test_expire_ends_access_tokens_early_and_a_refresh_helps(start):
    sandbox, client = await start()
    sandbox.expire()
    assert (await client.send(INGEST, b"{}"))[0] == 401
    assert (await client.refresh())[0] == 200
    assert (await client.send(INGEST, b"{}"))[0] == 200


async def test_revoke_leaves_only_a_login(start):
    sandbox, client = await start()
    sandbox.revoke()
    assert (await client.send(INGEST, b"{}"))[0] == 401
    assert (await client.refresh())[0] == 401
    assert (await client.login())[0] == 200
    assert (await client.send(INGEST, b"{}"))[0] == 200


@pytest.mark.parametrize("call", ["password", "refresh"])
@pytest.mark.parametrize(
    ("method", "content_type", "body", "status"),
    [
        ("GET", "application/x-www-form-urlencoded", b"", 405),
        ("PUT", "application/x-www-form-urlencoded", b"refresh_token=x", 405),
        ("POST", "application/json", b'{"refresh_token": "x"}', 415),
        ("POST", "application/x-www-form-urlencoded", b"", 400),
        ("POST", "application/x-www-form-urlencoded", b"grant_type=refresh_token&refresh_token=x", 400),
        ("POST", "application/x-www-form-urlencoded", b"username=a&username=b&password=c", 400),
        ("POST", "application/x-www-form-urlencoded", b"refresh_token=x&refresh_token=y", 400),
        ("POST", "application/x-www-form-urlencoded", b"\xff", 400),
    ],
)
async def test_the_auth_api_takes_its_own_dialect_only(  # noqa: PLR0917 - a table of cases
    start, call, method, content_type, body, status
):
    sandbox, client = await start(signed_in=False)
    got, _, headers = await client.send(f"/api/v1/auth/{call}", body, content_type, method)
    assert got == status
    assert headers.get("Allow") == ("POST" if status == 405 else None)
    assert sandbox.state().failed_logins == sandbox.state().failed_refreshes == 0


async def test_what_the_auth_api_was_sent_is_never_kept(start, tmp_path):
    sandbox, client = await start(record=tmp_path)
    await client.refresh()
    _, shown = await client.admin("GET", "requests?body=1")
    everything = repr(shown) + (tmp_path / "requests.jsonl").read_text() + repr(sandbox.settings)
    assert [row["endpoint"] for row in shown["requests"]] == ["login", "refresh"]
    assert sandbox.settings.password not in everything
    assert client.pair["refresh_token"] not in everything
    assert client.pair["access_token"] not in everything
