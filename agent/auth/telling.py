"""What a session says of itself: its status, and why nobody is signed in."""

from __future__ import annotations

from agent.auth.holding import Holding
from agent.auth.renewal import Trouble
from agent.auth.session import SessionStatus, State
from agent.errors import NotSignedIn
from agent.logs import get_log
from agent.session_row import SessionRow

log = get_log("auth")


def status_of(
    row: SessionRow, held: Holding, trouble: Trouble | None, *, flying: bool, next_try: float | None
) -> SessionStatus:
    """How it is, for people. `next_try` is wall clock seconds."""
    state: State = "signed in" if held.usable() is not None else "not signed in"
    if trouble is not None and trouble.blocked:
        state = "blocked"
    if flying:
        state = "refreshing"
    return SessionStatus(
        generation=row.generation,
        expires_at=held.token.expires_at
        if held.token is not None
        else row.expires_at
        if row.sealed
        else None,
        renewal_at=held.renewal_at(),
        refreshes=row.refreshes,
        logins=row.logins,
        failures=row.failures,
        state=state,
        last_error=trouble.text if trouble is not None else "",
        hint=trouble.hint if trouble is not None else "",
        next_try=next_try if trouble is not None else None,
        stored=row.sealed is not None,
    )


def not_signed_in(connection: str, trouble: Trouble | None, wait: float, *, over: str) -> NotSignedIn:
    """For whoever needs a token that is not there. `over`: why there will be none any more."""
    if over:
        return NotSignedIn(f"connection {connection}: {over}", retry_after=None)
    if trouble is None:
        return NotSignedIn(f"connection {connection}: not signed in: no token yet", retry_after=wait)
    text = f"connection {connection}: not signed in: {trouble.text}"
    return NotSignedIn(text, hint=trouble.hint, retry_after=wait)


def told(connection: str, trouble: Trouble) -> NotSignedIn:
    """For a person who asked for something that brought this."""
    text = f"connection {connection}: {trouble.text}"
    return NotSignedIn(text, hint=trouble.hint, retry_after=trouble.at_least)


def in_vain(connection: str, wait: float) -> NotSignedIn:
    """For a lane whose new token was refused as the ones before."""
    text = f"connection {connection}: the target refuses new tokens too"
    return NotSignedIn(text, hint="check that the user may use this endpoint", retry_after=wait)


def is_asked_to_wait(trouble: Trouble | None) -> bool:
    """Whether the Auth API itself asked for the pause: a person is not held up by our own ones."""
    return trouble is not None and bool(trouble.at_least) and not (trouble.blocked or trouble.no_secret)


def say_trouble(connection: str, before: Trouble | None, now: Trouble, pause: float) -> None:
    """Once for each kind of trouble, not for each try."""
    if before is not None and (before.slow, before.blocked) == (now.slow, now.blocked):
        return
    say = log.error if now.slow or now.blocked else log.warning
    say("cannot sign in", connection=connection, reason=now.text, hint=now.hint, next_try_in=round(pause, 1))
