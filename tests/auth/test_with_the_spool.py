from __future__ import annotations

import pytest

from agent.auth import open_session
from agent.auth.vault import open_vault
from agent.config.model import Connection
from agent.config.secrets import SecretStore
from agent.spool import Spool
from tests.support.auth_world import PASSWORD, WHERE


@pytest.fixture
def secrets(tmp_path):
    folder = tmp_path / "config" / "secrets"
    folder.mkdir(parents=True, mode=0o700)
    for name, value in (("user", "fleet"), ("password", PASSWORD)):
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    return SecretStore(tmp_path / "config", {})


async def test_a_pair_lives_in_the_spool_sealed_and_over_a_restart(world, tmp_path, secrets):
    connection = Connection(name="p", auth=world.auth, where=WHERE)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for generation in (1, 2):
        spool = Spool.open(state, max_bytes=100_000_000, clock=world.clock)
        try:
            vault = open_vault(state)
            session = open_session(connection, secrets, spool, vault, world.clock, world.client)
            signed = await session.sign()
            assert signed.generation == generation
            await session.rejected(generation)
            await session.close()
        finally:
            spool.close()
    assert (len(world.logins), len(world.refreshes)) == (1, 2)
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    for secret in ("access-", "refresh-", PASSWORD):
        assert secret.encode() not in kept
