from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest

from agent.auth import open_session
from agent.auth.vault import Vault
from agent.config.model import BasicAuth, BearerAuth, Connection, HeaderAuth, NoAuth, SecretRef
from agent.errors import NotSignedIn
from tests.support.auth_world import WHERE, FileSecrets
from tests.support.clock import FakeClock

REF = SecretRef(kind="secret", name="key", where=WHERE)
KINDS = {
    "basic": (
        BasicAuth(username="fléet", password=REF),
        "Authorization",
        lambda s: "Basic " + b64encode(f"fléet:{s}".encode()).decode(),
    ),
    "bearer": (BearerAuth(token=REF), "Authorization", "Bearer {}".format),
    "header": (HeaderAuth(name="X-Api-Key", value=REF), "X-Api-Key", str),
}


@pytest.fixture(params=KINDS)
def fixed(request, tmp_path):
    auth, header, value = KINDS[request.param]
    (tmp_path / "key").write_text("first-value")
    clock = FakeClock()
    connection = Connection(name="p", auth=auth, where=WHERE)
    session = open_session(connection, FileSecrets(tmp_path), None, Vault(b"k" * 32), clock, None)
    return session, header, value, tmp_path / "key", clock


async def test_the_header_is_made_of_the_secret(fixed):
    session, header, value, _, _ = fixed
    signed = await session.sign()
    assert (signed.generation, dict(signed.headers)) == (1, {header: value("first-value")})
    assert "first-value" not in repr(signed)


async def test_a_changed_file_is_the_next_generation(fixed):
    session, header, value, path, clock = fixed
    await session.sign()
    path.write_text("second-value")
    clock.tick(5)
    signed = await session.sign()
    assert (signed.generation, signed.headers[header]) == (2, value("second-value"))


async def test_a_401_reads_the_secret_again_at_once(fixed):
    session, _, _, path, _ = fixed
    old = await session.sign()
    path.write_text("second-value")
    await session.rejected(old.generation)
    await session.rejected(old.generation)
    assert (await session.sign()).generation == 2
    assert session.status().state == "signed in"


async def test_a_401_with_the_same_secret_is_told_and_others_go_on(fixed, caplog):
    session, _, _, path, _ = fixed
    old = await session.sign()
    for _ in range(3):
        with pytest.raises(NotSignedIn, match="has not changed") as told:
            await session.rejected(old.generation)
    assert told.value.retry_after == 60
    assert (await session.sign()).generation == 1
    assert session.status().state == "not signed in"
    assert len(caplog.records) == 1
    path.write_text("second-value")
    await session.rejected(old.generation)
    assert session.status().state == "signed in"


async def test_a_missing_secret_is_told_and_a_briefly_missing_one_is_not_noticed(fixed):
    session, _, _, path, clock = fixed
    path.unlink()
    with pytest.raises(NotSignedIn, match="No such file"):
        await session.sign()
    path.write_text("first-value")
    clock.tick(5)
    await session.sign()
    assert session.status().state == "signed in"
    path.unlink()
    clock.tick(5)
    assert (await session.sign()).generation == 1
    path.write_text("first-value")
    clock.tick(5)
    await session.sign()
    assert session.status().state == "signed in"


async def test_auth_29_another_secret_is_seen_while_nobody_asks(fixed):
    session, _, _, path, clock = fixed
    old = await session.sign()
    with pytest.raises(NotSignedIn):
        await session.rejected(old.generation)
    waiting = [asyncio.ensure_future(session.changed()) for _ in range(3)]
    await clock.advance(30)
    assert not any(one.done() for one in waiting)
    path.write_text("second-value")
    while not all(one.done() for one in waiting):
        await clock.advance(1)
        await asyncio.sleep(0.001)  # files are read in a thread
    assert clock.now() - FakeClock().now() < 60
    assert (session.status().generation, session.status().state) == (2, "signed in")


async def test_auth_29_each_of_two_secrets_is_seen_when_it_changes(tmp_path):
    user = SecretRef(kind="secret", name="user", where=WHERE)
    connection = Connection(name="p", auth=BasicAuth(username=user, password=REF), where=WHERE)
    session = open_session(connection, FileSecrets(tmp_path), None, Vault(b"k" * 32), FakeClock(), None)
    seen = set()
    (tmp_path / "user").write_text("fleet")
    for name, value in (("key", "first"), ("key", "second"), ("user", "other"), ("key", "third")):
        (tmp_path / name).write_text(value)
        signed = await session.sign()
        if signed.generation in seen:
            await session.rejected(signed.generation)
            signed = await session.sign()
        seen.add(signed.generation)
    assert seen == {1, 2, 3, 4}


@pytest.mark.parametrize("kind", ["bearer", "header"])
@pytest.mark.parametrize("value", ["VALUE\r\nX: 1", "VALUE\x00", "VALUEé"])
async def test_auth_51_a_secret_that_no_header_can_hold_is_refused(tmp_path, kind, value):
    (tmp_path / "key").write_bytes(value.encode())
    connection = Connection(name="p", auth=KINDS[kind][0], where=WHERE)
    session = open_session(connection, FileSecrets(tmp_path), None, Vault(b"k" * 32), FakeClock(), None)
    with pytest.raises(NotSignedIn, match="characters") as told:
        await session.sign()
    assert "VALUE" not in repr(told.value)


async def test_a_colon_in_a_username_of_basic_is_refused(tmp_path):
    (tmp_path / "key").write_text("x")
    connection = Connection(name="p", auth=BasicAuth(username="a:b", password=REF), where=WHERE)
    session = open_session(connection, FileSecrets(tmp_path), None, Vault(b"k" * 32), FakeClock(), None)
    with pytest.raises(NotSignedIn, match="colon"):
        await session.sign()


async def test_without_auth_nothing_is_added_and_a_401_is_told():
    session = open_session(
        Connection(name="p", auth=NoAuth(), where=WHERE), None, None, None, FakeClock(), None
    )
    signed = await session.sign()
    assert dict(signed.headers) == {}
    with pytest.raises(NotSignedIn, match="there is no `auth`"):
        await session.rejected(signed.generation)
    assert session.status().state == "signed in"
    await session.close()
