"""Signing in: one session for each connection, shared by all of its jobs.

session   the words and what is asked of others     token    one pair, with its moments
rotating  who waits, when, for which generation     exchange one POST and what its answer means
renewal   one way from a pair to the next           memory   what survives a restart
grants    every way to get tokens, one file each    grant    what they have in common
call      one token request                         said     what the server said, as it may be shown
fixed     none, basic, bearer, header               pointer  where an answer holds what
vault     how tokens rest                           pause    how long to wait
holding   the token in hand                         parting  how it is given up
telling   status, and errors in words               flights  one renewal at a time, and the keeper
keyfile   the files of the vault's key
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from agent.auth.fixed import FixedSession, NoSession, basic_headers, bearer_headers, own_header
from agent.auth.session import (
    Sealer,
    Secret,
    Secrets,
    Session,
    SessionStatus,
    SessionStore,
    Signed,
    VaultError,
)
from agent.clock import Clock
from agent.config.model import (
    BasicAuth,
    BearerAuth,
    Connection,
    HeaderAuth,
    NoAuth,
    RenewedAuth,
    header_of,
)

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "Sealer",
    "Secret",
    "Secrets",
    "Session",
    "SessionStatus",
    "SessionStore",
    "Signed",
    "VaultError",
    "open_session",
]


@dataclass(frozen=True, kw_only=True)
class _Means:
    """What sessions are made of."""

    secrets: Secrets
    store: SessionStore
    vault: Sealer
    clock: Clock
    client: aiohttp.ClientSession


def open_session(  # noqa: PLR0917 - one of each kind, in the order of the rooms
    connection: Connection,
    secrets: Secrets,
    store: SessionStore,
    vault: Sealer,
    clock: Clock,
    client: aiohttp.ClientSession,
) -> Session:
    """The session of a connection. Nothing is read, sent or started before its first `sign`.

    `client` carries the connection's TLS, stays the caller's to close, and is to be made with
    `trust_env=False` and without cookies.
    """
    means = _Means(secrets=secrets, store=store, vault=vault, clock=clock, client=client)
    return _OPENERS.get(type(connection.auth), _open_renewed)(connection.name, connection.auth, means)


def _open_none(name: str, _auth: NoAuth, _means: _Means) -> Session:
    return NoSession(name)


def _open_basic(name: str, auth: BasicAuth, means: _Means) -> Session:
    return FixedSession(name, lambda: basic_headers(auth, means.secrets), means.clock)


def _open_bearer(name: str, auth: BearerAuth, means: _Means) -> Session:
    return FixedSession(name, lambda: bearer_headers(auth, means.secrets), means.clock)


def _open_header(name: str, auth: HeaderAuth, means: _Means) -> Session:
    return FixedSession(name, lambda: own_header(auth, means.secrets), means.clock)


def _open_renewed(name: str, auth: RenewedAuth, means: _Means) -> Session:
    # Late, since aiohttp is slow to import and most commands never sign in.
    from agent.auth.exchange import AuthApi  # noqa: PLC0415
    from agent.auth.grants import GRANTS  # noqa: PLC0415
    from agent.auth.memory import SessionMemory  # noqa: PLC0415
    from agent.auth.renewal import Renewal  # noqa: PLC0415
    from agent.auth.rotating import RotatingSession  # noqa: PLC0415

    memory = SessionMemory(name, means.store, means.vault, means.clock)
    api = AuthApi(means.client, means.clock)
    grant = GRANTS[type(auth)](auth, api, means.secrets, means.vault)
    renewal = Renewal(grant, memory, means.clock)
    return RotatingSession(
        renewal,
        memory,
        means.clock,
        renew_before=auth.renew_before.total_seconds(),
        header=header_of(auth),
    )


_Opener: TypeAlias = "Callable[[str, Any, _Means], Session]"

_OPENERS: Final[Mapping[type, _Opener]] = {
    NoAuth: _open_none,
    BasicAuth: _open_basic,
    BearerAuth: _open_bearer,
    HeaderAuth: _open_header,
}
