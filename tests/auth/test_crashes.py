from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.errors import NotSignedIn
from tests.support.auth_world import LOGIN, REFRESH, FileStore, signed_soon
from tests.support.clock import turns
from tests.support.scripted import DROP, Answer


async def test_auth_08_a_stop_in_mid_refresh_lets_it_finish(world):
    session = world.start()
    old = await session.sign()
    hold = asyncio.Event()
    world.server.script(REFRESH, Answer(200, json=world.api.pair(), hold=hold))
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await world.server.until(1, REFRESH)
    closing = asyncio.ensure_future(session.close())
    await turns()
    hold.set()
    await asyncio.gather(closing, healing)
    row = await world.row()
    assert (row.generation, row.refreshing) == (old.generation + 1, None)


async def test_auth_08_a_stop_that_cannot_wait_leaves_the_intent(world):
    world.close_grace = 0.01
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, Answer(hold=asyncio.Event()))
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await world.server.until(1, REFRESH)
    await session.close()
    with pytest.raises(NotSignedIn, match="stopping"):
        await healing
    assert (await world.row()).refreshing == old.generation


@pytest.mark.parametrize("valid", [True, False])
async def test_auth_09_killed_after_the_answer_before_the_store(world, valid):
    session = world.start()
    old = await session.sign()

    def die(row):
        if row.generation > old.generation:
            world.store.die()

    world.store.before_write = die
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await world.store.died.wait()
    await world.kill()
    await asyncio.wait({healing})
    if not valid:
        world.clock.tick(7200)
    session = world.start()
    await session.sign()
    await world.server.until(2, LOGIN)
    while session.status().generation == old.generation:
        await session.changed()
    assert (len(world.refreshes), len(world.logins)) == (2, 2)
    assert (await session.sign()).generation == old.generation + 1


async def test_auth_10_killed_after_the_post_left_before_the_answer(world):
    session = world.start()
    old = await session.sign()

    def rotate_and_never_say(request):
        world.api.refresh(request)
        return Answer(hold=asyncio.Event())

    world.server.script(REFRESH, [rotate_and_never_say, world.api.refresh])
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await world.server.until(1, REFRESH)
    assert (await world.row()).refreshing == old.generation
    await world.kill()
    await asyncio.wait({healing})
    world.clock.tick(4000)
    session = world.start()
    assert (await signed_soon(world, session)).generation == old.generation + 1
    assert (len(world.refreshes), len(world.logins)) == (2, 2)


async def test_auth_10_killed_before_the_server_heard_needs_no_login(world):
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, [Answer(hold=asyncio.Event()), world.api.refresh])
    healing = asyncio.ensure_future(session.rejected(old.generation))
    await world.server.until(1, REFRESH)
    await world.kill()
    await asyncio.wait({healing})
    world.clock.tick(4000)
    await signed_soon(world, world.start())
    assert (len(world.refreshes), len(world.logins)) == (2, 1)


async def test_auth_12_a_lost_answer_is_replayed_once_at_once(world):
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, [DROP, world.api.refresh])
    await session.rejected(old.generation)
    assert len(set(world.sent_refresh_tokens())) == 1
    assert (len(world.refreshes), len(world.logins)) == (2, 1)


async def test_auth_12_a_second_loss_is_not_replayed_and_nobody_logs_in(world):
    session = world.start()
    old = await session.sign()
    world.server.script(REFRESH, [DROP, DROP, DROP, world.api.refresh])
    with pytest.raises(NotSignedIn, match="lost"):
        await session.rejected(old.generation)
    assert len(world.refreshes) == 2
    await signed_soon(world, session)
    assert (len(world.refreshes), len(world.logins)) == (4, 1)  # from then on one plain try at a time


async def test_auth_12_a_rotated_pair_that_was_lost_costs_one_login(world):
    session = world.start()
    old = await session.sign()

    def rotate_and_drop(request):
        world.api.refresh(request)
        return DROP

    world.server.script(REFRESH, [rotate_and_drop, world.api.refresh])
    await session.rejected(old.generation)
    assert (len(world.refreshes), len(world.logins)) == (2, 2)


async def test_auth_13_a_machine_that_slept_inside_the_post_replays_nothing_blindly(world):
    session = world.start()
    old = await session.sign()

    def sleep_and_drop(request):
        world.api.refresh(request)
        world.clock.suspend(28 * 60)
        return DROP

    world.server.script(REFRESH, [sleep_and_drop, world.api.refresh])
    with pytest.raises(NotSignedIn):
        await session.rejected(old.generation)
    assert len(world.refreshes) == 1
    await signed_soon(world, session)
    assert (len(world.refreshes), len(world.logins)) == (2, 2)


async def test_auth_36_a_refusal_while_the_store_holds_a_newer_pair_adopts_it(world):
    session = world.start()
    old = await session.sign()
    other = world.start()

    async def overtaken(request):
        await other.sign()
        world.server.script(REFRESH, world.api.refresh)
        await other.rejected(old.generation)
        return Answer(401, json={"error": "invalid_token"})

    world.server.script(REFRESH, overtaken)
    await session.rejected(old.generation)
    assert (await session.sign()).headers == (await other.sign()).headers
    assert len(world.logins) == 1


async def test_auth_34_a_newer_pair_in_the_store_saves_the_refresh(world):
    session, other = world.start(), world.start()
    old = await session.sign()
    assert (await other.sign()).generation == old.generation
    await other.rejected(old.generation)
    await session.rejected(old.generation)
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_auth_34_two_sessions_of_one_store_renew_once_at_the_same_moment(world):
    """As while a changed connection takes over from the old one, whose requests still end."""
    session = world.start()
    other = world.start(store=world.store)
    old = await session.sign()
    assert (await other.sign()).generation == old.generation
    await asyncio.gather(*(one.rejected(old.generation) for one in (session, other) for _ in range(5)))
    assert (await session.sign()).headers == (await other.sign()).headers
    assert (len(world.refreshes), len(world.logins)) == (1, 1)


async def test_auth_34_two_sessions_of_one_store_share_the_first_login(world):
    session = world.start()
    other = world.start(store=world.store)
    signed = await asyncio.gather(session.sign(), other.sign())
    assert signed[0] == signed[1]
    assert len(world.logins) == 1


@pytest.mark.parametrize("harm", ["random", "empty", "truncated", "key lost", "another connection's"])
async def test_auth_38_tokens_that_cannot_be_read_cost_one_login(world, harm):
    session = world.start()
    await session.sign()
    await session.close()
    row = await world.row()
    sealed = {"random": b"\x01" + b"\x07" * 200, "empty": b"", "truncated": row.sealed[:-1]}.get(
        harm, row.sealed
    )
    if harm == "key lost":
        (world.folder / "key").unlink()
    name = "q" if harm == "another connection's" else "p"
    store = FileStore(world.folder / "state.db")
    await store.store_session(replace(row, sealed=sealed, connection=name))
    store.close()
    signed = await world.start(name).sign()
    assert signed.generation == row.generation + 1
    assert (len(world.refreshes), len(world.logins)) == (0, 2)


async def test_auth_39_a_store_that_is_full_does_not_stop_the_session(world, caplog):
    session = world.start()
    old = await session.sign()
    world.store.failing = True
    for _ in range(3):
        signed = await session.sign()
        world.clock.tick(700)
        await session.rejected(signed.generation)
    assert (await world.row()).generation == old.generation
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [
        "the session cannot be stored: it goes on in memory; a restart now may need a login"
    ]
    world.store.failing = False
    while (await world.row()).generation != old.generation + 3:
        await world.clock.advance(10)
    assert len(world.logins) == 1


async def test_a_store_that_cannot_be_read_sends_no_password(world):
    session = world.start()
    world.store.unreadable = True
    with pytest.raises(NotSignedIn, match="disk I/O error"):
        await session.sign()
    assert world.server.requests == []
    world.store.unreadable = False
    await signed_soon(world, session)


async def test_a_pair_that_cannot_be_read_for_a_moment_is_not_lost(world):
    """What is in memory before the first read is empty, and must not replace what lies in the store."""
    signed = await world.start().sign()
    await world.sessions[-1].close()
    session = world.start()
    world.store.unreadable = True
    with pytest.raises(NotSignedIn, match="disk I/O error"):
        await session.sign()
    await turns()
    assert world.store.writes == []
    world.store.unreadable = False
    assert await signed_soon(world, session) == signed
    assert len(world.server.requests) == 1


async def test_auth_41_sec_24_a_restored_backup_costs_one_try_and_one_login(world):
    session = world.start()
    signed = await session.sign()
    backup = (world.folder / "state.db").read_bytes()
    for _ in range(3):
        await session.rejected(signed.generation)
        signed = await session.sign()
        world.clock.tick(700)
    await session.close()
    (world.folder / "state.db").write_bytes(backup)
    world.clock.tick(3600)
    tries = len(world.refreshes)
    await world.start().sign()
    assert (len(world.refreshes) - tries, len(world.logins)) == (1, 2)


async def test_a_restart_with_a_valid_token_sends_nothing(world):
    first = await world.start().sign()
    await world.sessions[-1].close()
    again = await world.start().sign()
    assert again == first
    assert len(world.server.requests) == 1


@pytest.mark.parametrize("change", ["url", "user"])
async def test_another_identity_never_gets_the_old_tokens(world, change):
    await world.start().sign()
    await world.sessions[-1].close()
    if change == "user":
        world.secret("user", "other")
    else:
        world.configure(url=world.server.url.replace("127.0.0.1", "localhost") + "/api")
    signed = await world.start().sign()
    assert signed.generation == 2
    assert (len(world.refreshes), len(world.logins)) == (0, 2)


async def test_another_place_gets_no_old_token_even_when_the_username_cannot_be_read(world):
    await world.start().sign()
    await world.sessions[-1].close()
    world.configure(url=world.server.url.replace("127.0.0.1", "localhost") + "/api")
    (world.folder / "secrets" / "user").unlink()
    with pytest.raises(NotSignedIn, match="secret user"):
        await world.start().sign()
    assert len(world.server.requests) == 1


async def test_a_missing_password_does_not_stop_a_refresh(world):
    session = world.start()
    old = await session.sign()
    (world.folder / "secrets" / "password").unlink()
    await session.rejected(old.generation)
    assert (len(world.refreshes), len(world.logins)) == (1, 1)
