"""A new key for the vault: whenever it is cut short, every pair opens and no credentials seem to be new."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent.auth import keyfile
from agent.auth.session import VaultError
from agent.auth.vault import Vault, begin_rekey, end_rekey, open_vault
from agent.errors import NotSignedIn, StateError, UsageError
from agent.rekey import change_key
from agent.spool import Spool
from tests.support.auth_world import LOGIN
from tests.support.clock import turns
from tests.support.custody import PAIRS, Agent, Life
from tests.support.scripted import Answer


class Killed(BaseException):
    """As kill -9: nothing of ours runs after it."""


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


async def test_a_new_key_opens_every_pair_and_the_old_one_none(state):
    async with Life(state) as life:
        await life.fill()
        before = (state / "key").read_bytes()
        mark = life.vault.mark("secret")
        assert await change_key(life.custody) == len(PAIRS)
        assert await life.opened() == PAIRS
        assert sorted(path.name for path in state.glob("key*")) == ["key"]
        rows = {row.connection: row for row in await life.spool.sessions()}
        assert (rows["c0"].generation, rows["c0"].failures, rows["signed out"].failures) == (7, 2, 3)
        for name in PAIRS:
            with pytest.raises(VaultError):
                Vault(before).open(rows[name].sealed, name)
    async with Life(state) as life:
        assert not life.vault.has_old
        assert await life.opened() == PAIRS
        assert life.vault.mark("secret") == mark
    assert (state / "key").read_bytes() != before
    assert {(state / name).stat().st_mode & 0o777 for name in ("key", "marks")} == {0o600}


async def test_many_new_keys_in_one_life_and_over_restarts(state):
    async with Life(state) as life:
        await life.fill()
        mark = life.vault.mark("secret")
    for _ in range(3):
        async with Life(state) as life:
            for _ in range(3):
                assert await change_key(life.custody) == len(PAIRS)
            assert (await life.opened(), life.vault.mark("secret")) == (PAIRS, mark)


def steps(monkeypatch, die_at):
    """Every step that changes the disk, counted; the process dies at one of them, before or after it."""
    done = []

    def watch(owner, name):
        real = getattr(owner, name)

        def step(*arguments, **named):
            if die_at == (len(done), "before"):
                raise Killed
            done.append(name)
            result = real(*arguments, **named)
            if die_at == (len(done) - 1, "after"):
                raise Killed
            return result

        monkeypatch.setattr(owner, name, step)

    watch(os, "link")
    watch(Path, "replace")
    watch(Path, "unlink")
    watch(keyfile, "_sync")
    watch(keyfile, "_write_new")
    watch(Spool, "reseal_sessions")
    return done


async def count_steps(state, monkeypatch):
    async with Life(state) as life:
        await life.fill()
        with monkeypatch.context() as patch:
            done = steps(patch, None)
            await change_key(life.custody)
        return len(done)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_step_leaves_pairs_that_open_and_the_next_start_finishes(
    tmp_path, monkeypatch, when
):
    counted = tmp_path / "counted"
    counted.mkdir()
    total = await count_steps(counted, monkeypatch)
    assert total > 8
    for step in range(total):
        state = tmp_path / f"state {step}"
        state.mkdir(mode=0o700)
        async with Life(state) as life:
            await life.fill()
            mark = life.vault.mark("secret")
            with monkeypatch.context() as patch:
                steps(patch, (step, when))
                with pytest.raises(Killed):
                    await change_key(life.custody)
        vault = open_vault(state)  # what a life that dies at its first step would find
        async with Life(state) as life:
            assert await life.opened() == PAIRS, step
            assert life.vault.mark("secret") == vault.mark("secret") == mark, step
            assert not (state / "key.old").exists()
        alone = Vault((state / "key").read_bytes())
        async with Life(state) as life:
            for row in await life.spool.sessions():
                assert row.sealed is None or alone.open(row.sealed, row.connection) == PAIRS[row.connection]


async def test_a_kill_while_the_next_start_finishes_is_finished_by_the_one_after(state, monkeypatch):
    async with Life(state) as life:
        await life.fill()
        life.vault.turn(begin_rekey(state, life.vault))  # and killed
    with monkeypatch.context() as patch:
        steps(patch, (1, "after"))
        with pytest.raises(Killed):
            Life(state)
    async with Life(state) as life:
        assert await life.opened() == PAIRS
    assert not (state / "key.old").exists()


async def test_a_store_that_fails_keeps_both_keys_and_the_next_call_finishes(state, monkeypatch):
    async with Life(state) as life:
        await life.fill()

        async def full(*_):
            raise StateError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(Spool, "reseal_sessions", full)
            with pytest.raises(StateError, match="disk is full"):
                await change_key(life.custody)
            assert (state / "key.old").exists()
            assert await life.opened() == PAIRS
            with pytest.raises(StateError, match="disk is full"):
                await change_key(life.custody)
        assert await change_key(life.custody) == len(PAIRS)
        assert await life.opened() == PAIRS
    assert not (state / "key.old").exists()


async def test_a_change_that_failed_after_the_rename_is_finished_with_the_key_that_is_in_place(
    state, monkeypatch
):
    async with Life(state) as life:
        await life.fill()
        real = keyfile._sync

        def sync(folder):
            if (folder / "key.old").exists() and not list(folder.glob("key.*.new")):
                raise OSError(5, "Input/output error")  # the one after the rename
            real(folder)

        with monkeypatch.context() as patch:
            patch.setattr(keyfile, "_sync", sync)
            with pytest.raises(StateError, match="Input/output error"):
                await change_key(life.custody)
        write = keyfile._write_new

        def no_new_key(folder, name, content):
            if name == "key":
                raise StateError("no space")
            return write(folder, name, content)

        with monkeypatch.context() as patch:
            patch.setattr(keyfile, "_write_new", no_new_key)
            with pytest.raises(StateError, match="no space"):
                await change_key(life.custody)
    assert not (state / "key.old").exists()
    async with Life(state) as life:
        assert await life.opened() == PAIRS


async def test_the_old_key_stays_while_the_vault_still_seals_with_it(state):
    async with Life(state) as life:
        await life.fill()
        begin_rekey(state, life.vault)  # and its caller was cancelled: nobody turned the vault
        with pytest.raises(StateError, match="the old key stays"):
            end_rekey(state, life.vault)
        assert (state / "key.old").exists()
        assert await change_key(life.custody) == len(PAIRS)
    async with Life(state) as life:
        assert await life.opened() == PAIRS


def test_auth_40_an_old_key_that_others_can_read_is_repaired_and_one_of_somebody_else_refused(
    state, caplog, monkeypatch
):
    vault = open_vault(state)
    begin_rekey(state, vault)
    (state / "key.old").chmod(0o644)
    open_vault(state)
    assert (state / "key.old").stat().st_mode & 0o777 == 0o600
    assert "could be read by others" in caplog.text
    (state / "key.old").unlink()
    (state / "key.old").symlink_to(state / "key")
    with pytest.raises(StateError, match="not a regular file"):
        open_vault(state)


def test_auth_38_a_damaged_old_key_is_told_and_removed(state, caplog):
    begin_rekey(state, open_vault(state))
    (state / "key.old").write_bytes(b"")
    assert not open_vault(state).has_old
    assert "the old key is damaged" in caplog.text


# ---------------------------------------------------------------------------------- keys from systemd


@pytest.fixture
def credentials(tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "push-agent-key").write_bytes(b"the first key of systemd")
    return folder


async def test_keys_of_systemd_follow_each_other_when_the_old_one_is_given_too(state, credentials):
    async with Life(state, credentials=credentials) as life:
        await life.fill()
        mark = life.vault.mark("secret")
    for old, new in (("first", "second"), ("second", "third")):
        (credentials / "push-agent-key").write_bytes(f"the {new} key of systemd".encode())
        (credentials / "push-agent-key-old").write_bytes(f"the {old} key of systemd".encode())
        for _ in range(2):
            async with Life(state, credentials=credentials) as life:
                assert (await life.opened(), life.vault.mark("secret")) == (PAIRS, mark)
        (credentials / "push-agent-key-old").unlink()
        async with Life(state, credentials=credentials) as life:
            assert (await life.opened(), life.vault.mark("secret")) == (PAIRS, mark)
    assert not (state / "key").exists()


async def test_from_a_key_file_to_a_key_of_systemd(state, credentials):
    async with Life(state) as life:
        await life.fill()
        mark = life.vault.mark("secret")
    (credentials / "push-agent-key-old").write_bytes((state / "key").read_bytes())
    async with Life(state, credentials=credentials) as life:
        assert (await life.opened(), life.vault.mark("secret")) == (PAIRS, mark)


async def test_a_key_of_systemd_is_not_changed_by_us(state, credentials):
    async with Life(state, credentials=credentials) as life:
        await life.fill()
        with pytest.raises(UsageError, match="systemd") as told:
            await change_key(life.custody)
        assert "push-agent-key-old" in told.value.hint
        assert await life.opened() == PAIRS
    assert not (state / "key").exists()


# ---------------------------------------------------------------------------------- with living sessions


async def test_a_rekey_is_no_change_of_credentials_and_costs_no_login(world, state):
    async with Agent(world, state) as agent:
        signed = await agent.session.sign()
        await change_key(agent.custody)
        await agent.session.rejected(signed.generation)
    async with Agent(world, state) as agent:
        await change_key(agent.custody)
        await agent.session.sign()
        await agent.session.refresh()
    assert (len(world.logins), len(world.refreshes)) == (1, 2)


async def test_a_rekey_does_not_reset_the_login_limit(world, state):
    world.api.password = "another one"
    for _ in range(6):
        async with Agent(world, state) as agent:
            with pytest.raises(NotSignedIn):
                await agent.session.sign()
            await change_key(agent.custody)
    assert len(world.logins) == 3


async def test_what_a_session_had_in_memory_before_the_rekey_is_never_stored_again(world, state):
    async with Agent(world, state) as agent:
        await agent.session.sign()
        for _ in range(2):
            await change_key(agent.custody)
        await agent.session._memory.note("a row that was sealed two keys ago is written")
    async with Agent(world, state) as agent:
        await agent.session.sign()
    assert len(world.logins) == 1


async def test_a_pair_that_comes_during_the_rekey_is_sealed_with_the_new_key(world, state):
    hold = asyncio.Event()
    async with Agent(world, state) as agent:
        signed = await agent.session.sign()
        world.server.script("/api/auth/refresh", Answer(200, json=world.api.pair(), hold=hold))
        renewing = asyncio.ensure_future(agent.session.refresh())
        await world.server.until(1, "/api/auth/refresh")
        await change_key(agent.custody)
        hold.set()
        await renewing
    async with Agent(world, state) as agent:
        assert (await agent.session.sign()).generation == signed.generation + 1
    assert len(world.logins) == 1


@pytest.mark.parametrize("loss", ["lost", "wrong", "damaged"])
@pytest.mark.parametrize("rekeyed", [False, True], ids=["", "rekeyed"])
async def test_auth_38_a_wrong_or_lost_key_is_told_and_costs_one_login(world, state, caplog, loss, rekeyed):
    async with Agent(world, state) as agent:
        await agent.session.sign()
        if rekeyed:
            await change_key(agent.custody)
    if loss == "lost":
        (state / "key").unlink()
    else:
        (state / "key").write_bytes(b"x" * (32 if loss == "wrong" else 3))
    for _ in range(5):
        async with Agent(world, state) as agent:
            await agent.session.sign()
    assert (len(world.logins), len(world.refreshes)) == (2, 0)
    assert "the stored tokens cannot be read: another key, or damaged; they are dropped" in caplog.text
    told = "the state was made with another key" in caplog.text
    assert told is rekeyed


async def test_auth_38_a_lost_key_and_a_wrong_password_keep_the_login_limit(world, state):
    async with Agent(world, state) as agent:
        await agent.session.sign()
    (state / "key").unlink()
    world.api.password = "another one"
    for _ in range(10):
        async with Agent(world, state) as agent:
            with pytest.raises(NotSignedIn):
                await agent.session.sign()
    await turns()
    assert len(world.server.asked(LOGIN)) == 1 + 3


def test_end_without_begin_changes_no_key(state):
    vault = open_vault(state)
    mark, key = vault.mark("x"), (state / "key").read_bytes()
    end_rekey(state, vault)
    assert (open_vault(state).mark("x"), (state / "key").read_bytes()) == (mark, key)
