"""How a connection stands: out of the connection itself, or of what the state has of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.origins import OriginStatus, PacingStatus
from agent.session_row import SessionRow
from agent.status import ConnectionStatus

if TYPE_CHECKING:
    from agent.connections import ConnectionState, OpenConnection


def stored_connection(row: SessionRow, now: float) -> ConnectionStatus:
    """When no daemon runs."""
    return ConnectionStatus(
        name=row.connection,
        session=_left(row, now),
        generation=row.generation,
        expires_at=row.expires_at,
        refreshes=row.refreshes,
        logins=row.logins,
        failures=row.failures,
        last_error=row.last_error,
        next_try_at=row.blocked_until,
        stored=row.sealed is not None,
    )


def _left(row: SessionRow, now: float) -> str:
    """How a session stands when no daemon runs."""
    if row.sealed is not None:
        return "signed in"
    return "blocked" if row.blocked_until is not None and row.blocked_until > now else "not signed in"


def connection_status(one: OpenConnection) -> ConnectionStatus:
    """While the daemon runs."""
    state, session = one.state(), one.session.status()
    return ConnectionStatus(
        name=state.name,
        session=session.state,
        generation=session.generation,
        expires_at=session.expires_at,
        refreshes=session.refreshes,
        logins=session.logins,
        failures=session.failures,
        last_error=session.last_error or (state.last_error if state.failing_since is not None else ""),
        hint=session.hint if session.last_error else "",
        next_try_at=session.next_try,
        renewal_at=session.renewal_at,
        stored=session.stored,
        in_flight=state.in_flight,
        paused_until_at=state.paused_until,
        failing_since_at=state.failing_since,
        pacing=_pacing(one, state),
        tls_verified=state.tls.verified,
        certificate_ends_at=state.tls.certificate_ends,
        tls_trouble=state.tls.trouble,
    )


def _pacing(one: OpenConnection, state: ConnectionState) -> PacingStatus:
    limits = one.connection.limits
    return PacingStatus(
        concurrency=limits.concurrency,
        rate=limits.rate,
        waiting=state.waiting,
        pause_reason=state.pause_reason,
        origins=tuple(
            OriginStatus(
                origin=door.origin,
                in_flight=door.in_flight,
                waiting=door.waiting,
                concurrency=door.concurrency,
                concurrency_why="" if door.open else door.why,
                circuit=("probing" if door.probing else "open") if door.open else "closed",
                reason=door.reason if door.open else "",
                away_since_at=door.since if door.open else None,
                next_probe_at=door.probe_at if door.open and not door.probing else None,
                openings=door.openings,
            )
            for door in state.doors
        ),
    )
