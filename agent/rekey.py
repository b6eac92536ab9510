"""From one key of the vault to the next, with every stored pair. See `agent.auth.keyfile` for the files.

begin (the new key in place, the one before beside it) → turn → all pairs sealed anew → end (old key removed)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from agent.auth.vault import Vault, begin_rekey, end_rekey, is_unfinished, key_in_place, open_vault
from agent.errors import AgentError
from agent.logs import get_log
from agent.spool import Spool

log = get_log("vault")


@dataclass(frozen=True, kw_only=True, slots=True)
class Custody:
    """Who keeps the tokens of one state folder, and how."""

    spool: Spool
    vault: Vault
    state: Path
    credentials: Path | None
    """Where systemd gives keys."""


def take_custody(spool: Spool, state: Path, credentials: Path | None) -> Custody:
    """Open the vault, and finish a change of the key that was cut short. Blocks. Raises StateError."""
    vault = open_vault(state, credentials=credentials)
    custody = Custody(spool=spool, vault=vault, state=state, credentials=credentials)
    if vault.has_old:
        try:
            count = spool.reseal_sessions(vault.reseal).result()
            end_rekey(state, vault, credentials=credentials)
        except AgentError as error:
            # Both keys open what is there: no reason not to start.
            log.warning("the key before is still needed: tried again at the next start", reason=error.message)
        else:
            if count:
                log.info("stored tokens are sealed with the new key", pairs=count)
    return custody


async def change_key(custody: Custody) -> int:
    """A new key for everything that is stored; how many pairs there were. One at a time.

    Raises StateError and SpoolFull: then both keys stay until the next start or the next call.
    """
    state, vault, credentials = custody.state, custody.vault, custody.credentials
    if await asyncio.to_thread(is_unfinished, state, credentials=credentials):
        await _finish(custody)
    await asyncio.to_thread(begin_rekey, state, vault, credentials=credentials)
    count = await _finish(custody)
    log.info("the key was changed; stored tokens are sealed with the new one", pairs=count)
    return count


async def _finish(custody: Custody) -> int:
    # Whoever began may have failed or been cancelled after the key was in place: the file is the truth.
    key = await asyncio.to_thread(key_in_place, custody.state)
    if not custody.vault.seals_with(key):
        custody.vault.turn(key)  # in the event loop, where sessions hand their rows to the spool
    count = await custody.spool.reseal_sessions(custody.vault.reseal)
    await asyncio.to_thread(end_rekey, custody.state, custody.vault, credentials=custody.credentials)
    return count
