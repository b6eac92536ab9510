"""Lives of an agent on a real state folder: spool, key, stored pairs, and a session that uses them."""

from __future__ import annotations

import asyncio

from agent.auth import open_session
from agent.config.model import Connection
from agent.rekey import take_custody
from agent.session_row import SessionRow
from agent.spool import Spool
from tests.support.auth_world import WHERE, FileSecrets
from tests.support.clock import FakeClock

PAIRS = {f"c{number}": f"the pair of {number}".encode() for number in range(3)}


class Life:
    """One life of an agent on a state folder: its spool and its custody."""

    def __init__(self, state, *, credentials=None, clock=None):
        self.spool = Spool.open(state, max_bytes=100_000_000, clock=clock or FakeClock())
        try:
            self.custody = take_custody(self.spool, state, credentials)
        except BaseException:
            self.spool.close()
            raise
        self.vault = self.custody.vault

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.to_thread(self.spool.close)

    async def fill(self):
        for name, pair in PAIRS.items():
            row = SessionRow(connection=name, generation=7, sealed=self.vault.seal(pair, name), failures=2)
            await self.spool.store_session(row)
        await self.spool.store_session(SessionRow(connection="signed out", failures=3))

    async def opened(self):
        """Each stored pair, by connection."""
        rows = await self.spool.sessions()
        return {row.connection: self.vault.open(row.sealed, row.connection) for row in rows if row.sealed}


class Agent(Life):
    """A life with one session, on the real spool."""

    def __init__(self, world, state, **more):
        super().__init__(state, clock=world.clock, **more)
        connection = Connection(name="p", auth=world.auth, where=WHERE)
        secrets = FileSecrets(world.folder / "secrets")
        self.session = open_session(connection, secrets, self.spool, self.vault, world.clock, world.client)

    async def __aexit__(self, *_):
        await self.session.close()
        await super().__aexit__()
