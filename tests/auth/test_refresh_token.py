"""`type: refresh_token`: a seed out of a secret is sent once, whatever happens to the agent."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from agent.auth import open_session
from agent.auth.vault import open_vault
from agent.config.model import Connection
from agent.config.secrets import SecretStore
from agent.errors import NotSignedIn
from agent.spool import Spool
from tests.support.auth_world import WHERE, signed_soon
from tests.support.oauth_world import CLIENT_SECRET, TOKEN
from tests.support.scripted import DROP, Answer


@pytest.fixture
def seeded(oauth):
    oauth.secret("seed", oauth.endpoint.seed("seed-one"))
    oauth.refresh_token(scope="push")
    return oauth


async def blocked(session):
    with pytest.raises(NotSignedIn) as told:
        await session.sign()
    assert session.status().state == "blocked"
    assert told.value.hint == "put a new refresh token into the secret; it is picked up by itself"
    return told.value


async def test_a_session_starts_from_the_seed_and_goes_on_with_what_it_gets(seeded):
    session = seeded.start()
    await session.rejected((await session.sign()).generation)
    assert seeded.endpoint.shown == ["seed-one", "refresh-1-rrrrrrrrrrrr"]
    assert seeded.asked[0].form == {
        "grant_type": "refresh_token",
        "refresh_token": "seed-one",
        "scope": "push",
    }
    assert (session.status().logins, session.status().refreshes) == (0, 2)


async def test_a_spent_seed_is_never_sent_again_over_restarts_and_kills(seeded):
    for life in range(8):
        session = seeded.start()
        signed = await signed_soon(seeded, session)
        seeded.clock.tick(700)
        await session.rejected(signed.generation)
        await (seeded.kill() if life % 2 else session.close())
    assert set(Counter(seeded.endpoint.shown).values()) == {1}


async def test_a_dead_pair_waits_visibly_and_sends_nothing_more(seeded):
    session = seeded.start()
    first = await session.sign()
    seeded.endpoint.good.clear()
    with pytest.raises(NotSignedIn, match=r"used up, or was refused .*invalid_grant - Token is not active"):
        await session.rejected(first.generation)
    await blocked(session)
    await session.close()
    for _ in range(5):
        session = seeded.start()
        await blocked(session)
        seeded.clock.tick(400)
        await blocked(session)
        await session.close()
    assert seeded.endpoint.shown == ["seed-one", "refresh-1-rrrrrrrrrrrr"]


async def test_a_new_seed_in_the_secret_heals_it_by_itself(seeded):
    session = seeded.start()
    first = await session.sign()
    seeded.endpoint.good.clear()
    with pytest.raises(NotSignedIn):
        await session.rejected(first.generation)
    seeded.secret("seed", seeded.endpoint.seed("seed-two"))
    while session.status().state != "signed in":
        await seeded.clock.advance(2)
        if session.status().state == "refreshing":
            await session.changed()
    assert (await session.sign()).generation == 2
    assert seeded.endpoint.shown[-1] == "seed-two"


async def test_an_older_seed_put_back_into_the_secret_is_known_as_spent(seeded):
    session = seeded.start()
    for name in ("seed-two", "seed-one"):
        signed = await session.sign()
        seeded.endpoint.good.clear()
        seeded.secret("seed", seeded.endpoint.seed(name))
        seeded.clock.tick(700)
        if name == "seed-two":
            await session.rejected(signed.generation)
        else:
            with pytest.raises(NotSignedIn):
                await session.rejected(signed.generation)
    await blocked(session)
    assert Counter(seeded.endpoint.shown)["seed-one"] == 1


async def test_a_seed_that_was_dead_from_the_start_is_sent_once(seeded):
    seeded.endpoint.good.clear()
    for _ in range(4):
        session = seeded.start()
        await blocked(session)
        await session.close()
    assert seeded.endpoint.shown == ["seed-one"]


async def test_a_lost_answer_to_the_seed_is_asked_for_once_more(seeded):
    seeded.server.script(TOKEN, [DROP, seeded.endpoint.answer])
    assert (await seeded.start().sign()).generation == 1
    assert len(seeded.asked) == 2


async def test_a_kill_after_the_seed_was_sent_allows_one_more_try(seeded):
    """The server rotated, nobody heard: it sees reuse, revokes, and the session waits for another seed."""

    def rotate_and_die(request):
        seeded.store.die()
        return seeded.endpoint.answer(request)

    seeded.server.script(TOKEN, [rotate_and_die, seeded.endpoint.answer])
    asking = asyncio.ensure_future(seeded.start().sign())
    await seeded.server.until(1, TOKEN)
    await seeded.kill()
    await asyncio.wait({asking})
    assert asking.exception() is not None
    for _ in range(3):
        session = seeded.start()
        await blocked(session)
        await session.close()
    assert seeded.endpoint.shown == ["seed-one", "seed-one"]


@pytest.mark.parametrize("sick", [Answer(503), Answer(401, json={"error": "invalid_client"}), Answer(404)])
async def test_a_seed_that_was_not_judged_is_tried_again(seeded, sick):
    seeded.server.script(TOKEN, [sick, sick, seeded.endpoint.answer])
    await signed_soon(seeded, seeded.start())
    assert len(seeded.asked) == 3


async def test_a_server_that_does_not_rotate_gets_the_same_token_over_restarts(seeded):
    seeded.endpoint.rotates = False
    for life in (1, 2, 3):
        session = seeded.start()
        assert (await session.sign()).generation == life
        await session.close()
        seeded.clock.tick(4000)
    assert seeded.endpoint.shown == ["seed-one"] * 3


async def test_a_server_that_does_not_rotate_takes_the_seed_also_when_the_pair_was_lost(seeded):
    seeded.endpoint.rotates = False
    session = seeded.start()
    await session.sign()
    await session.close()
    (seeded.folder / "key").write_bytes(b"another key of 32 bytes, at least")
    assert (await seeded.start().sign()).generation == 2
    assert seeded.endpoint.shown == ["seed-one", "seed-one"]


async def test_a_missing_seed_is_told_and_found(oauth):
    oauth.refresh_token()
    session = oauth.start()
    with pytest.raises(NotSignedIn, match="secret seed: No such file"):
        await session.sign()
    oauth.secret("seed", oauth.endpoint.seed("seed-late"))
    await signed_soon(oauth, session)
    assert oauth.endpoint.shown == ["seed-late"]


async def test_the_spool_remembers_a_spent_seed_and_holds_none(seeded, tmp_path):
    folder = tmp_path / "config" / "secrets"
    folder.mkdir(parents=True, mode=0o700)
    for name, value in (("seed", "seed-one"), ("client_secret", CLIENT_SECRET)):
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    secrets = SecretStore(tmp_path / "config", {})
    connection = Connection(name="p", auth=seeded.auth, where=WHERE)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for life in range(4):
        spool = Spool.open(state, max_bytes=100_000_000, clock=seeded.clock)
        try:
            session = open_session(connection, secrets, spool, open_vault(state), seeded.clock, seeded.client)
            if life < 2:
                await session.rejected((await session.sign()).generation)
                seeded.clock.tick(700)
            else:
                seeded.endpoint.good.clear()
                seeded.clock.tick(4000)
                await blocked(session)
            await session.close()
        finally:
            spool.close()
    assert Counter(seeded.endpoint.shown)["seed-one"] == 1
    assert set(Counter(seeded.endpoint.shown).values()) == {1}
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    for word in ("seed-one", "refresh-", "access-", CLIENT_SECRET):
        assert word.encode() not in kept
