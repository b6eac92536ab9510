"""Small things that must survive: cursors, schedule memory, config texts, waits, sessions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

from sqlalchemy import bindparam, delete, select, update

from agent.message import Cursor
from agent.session_row import SessionRow
from agent.spool.database import Database, Saved, Statement, insert_all, rows_of
from agent.spool.rows import config_of, fit_of, session_of, wait_of
from agent.spool.tables import configs, cursors, dues, fits, sessions, waits
from agent.spool.values import ConfigRow, Fit
from agent.trace import LaneWait

_CURSOR = Statement(select(cursors.c.value).where(cursors.c.job == bindparam("job")))
_SAVE_CURSOR = Saved(cursors)
_DUE = Statement(
    select(dues.c.due, dues.c.first_seen).where(
        dues.c.job == bindparam("job"), dues.c.ident == bindparam("ident")
    )
)
_SET_DUE = Statement(
    update(dues)
    .where(dues.c.job == bindparam("of_job"), dues.c.ident == bindparam("of_ident"))
    .values(due=bindparam("due"))
)
_NEW_DUE = insert_all(dues)
_CONFIGS = Statement(select(configs).order_by(configs.c.path))
_CONFIG_TEXTS = Statement(select(configs.c.sha256))
_SAVE_CONFIG = Saved(configs)
_DROP_CONFIG = Statement(delete(configs).where(configs.c.path == bindparam("path")))
WAITS = select(waits).order_by(waits.c.job, waits.c.lane)
_WAITS = Statement(WAITS)
_SAVE_WAIT = Saved(waits)
_CLEAR_WAIT = Statement(
    delete(waits).where(waits.c.job == bindparam("job"), waits.c.lane == bindparam("lane"))
)
_FITS = Statement(select(fits).order_by(fits.c.job))
_SAVE_FIT = Saved(fits)
_DROP_FIT = Statement(delete(fits).where(fits.c.job == bindparam("job")))
_SESSIONS = Statement(select(sessions).order_by(sessions.c.connection))
_SESSION = Statement(select(sessions).where(sessions.c.connection == bindparam("connection")))
_HAS_SESSION = Statement(
    select(sessions.c.generation).where(sessions.c.connection == bindparam("connection"))
)
_SET_SESSION = Statement(
    update(sessions)
    .where(
        sessions.c.connection == bindparam("of_connection"),
        sessions.c.generation <= bindparam("of_generation"),
    )
    .values({column.name: bindparam(column.name) for column in sessions.columns if not column.primary_key})
)
_NEW_SESSION = insert_all(sessions)


def cursor(db: Database, job: str) -> Cursor | None:
    """How far the job's source was read."""
    row = db.execute(_CURSOR, job=job).fetchone()
    if row is None:
        return None
    value: Cursor = json.loads(row[0])
    return value


def set_cursor(db: Database, job: str, value: Cursor, now: float) -> None:
    """Remember how far the source was read."""
    _SAVE_CURSOR.put(db, {"job": job, "value": json.dumps(dict(value)), "updated_at": now})


def last_due(db: Database, job: str, ident: str) -> float | None:
    """The last occurrence of this schedule that was announced."""
    row = db.execute(_DUE, job=job, ident=ident).fetchone()
    return None if row is None else row[0]


def set_last_due(db: Database, job: str, ident: str, due: float, now: float) -> None:
    """Remember the occurrence."""
    if not db.execute(_SET_DUE, of_job=job, of_ident=ident, due=due).rowcount:
        db.execute(_NEW_DUE, job=job, ident=ident, due=due, first_seen=now)


def first_seen(db: Database, job: str, ident: str, now: float) -> float | None:
    """When this schedule was first asked about; None when that is now."""
    row = db.execute(_DUE, job=job, ident=ident).fetchone()
    if row is None:
        db.execute(_NEW_DUE, job=job, ident=ident, due=None, first_seen=now)
        return None
    return float(row[1])


def config_rows(db: Database) -> list[ConfigRow]:
    """Every accepted text, by path."""
    return [config_of(row) for row in rows_of(db, _CONFIGS)]


def config_texts(db: Database) -> frozenset[str]:
    """The sha-256 of every accepted text."""
    return frozenset(str(row["sha256"]) for row in rows_of(db, _CONFIG_TEXTS))


def keep_config(db: Database, row: ConfigRow) -> None:
    """Remember the text."""
    _SAVE_CONFIG.put(db, {**asdict(row), "deleted": int(row.deleted)})


def drop_config(db: Database, path: str) -> None:
    """Forget the text."""
    db.execute(_DROP_CONFIG, path=path)


def lane_waits(db: Database) -> list[LaneWait]:
    """Every lane that waits, and why."""
    return [wait_of(row) for row in rows_of(db, _WAITS)]


def set_wait(db: Database, wait: LaneWait) -> None:
    """Remember why the lane waits."""
    _SAVE_WAIT.put(db, asdict(wait))


def clear_wait(db: Database, job: str, lane: int) -> None:
    """The lane sends again."""
    db.execute(_CLEAR_WAIT, job=job, lane=lane)


def fits_all(db: Database) -> dict[str, Fit]:
    """By job."""
    return {str(row["job"]): fit_of(row) for row in rows_of(db, _FITS)}


def set_fit(db: Database, fit: Fit) -> None:
    """Remember the size of body that a target takes."""
    _SAVE_FIT.put(db, asdict(fit))


def drop_fit(db: Database, job: str) -> None:
    """Forget it."""
    db.execute(_DROP_FIT, job=job)


def sessions_all(db: Database) -> list[SessionRow]:
    """Every session, by connection."""
    return [session_of(row) for row in rows_of(db, _SESSIONS)]


def session(db: Database, connection: str) -> SessionRow | None:
    """One session."""
    row = next(rows_of(db, _SESSION, connection=connection), None)
    return None if row is None else session_of(row)


def reseal_sessions(db: Database, reseal: Callable[[bytes, str], bytes]) -> int:
    """Change nothing but the seal of each pair; how many there were to change."""
    changed = 0
    for row in sessions_all(db):
        if row.sealed is not None and (sealed := reseal(row.sealed, row.connection)) != row.sealed:
            store_session(db, replace(row, sealed=sealed))
            changed += 1
    return changed


def store_session(db: Database, row: SessionRow) -> bool:
    """Replace the connection's session; False, and nothing is changed, when a newer generation stands there.

    A fence: who was paused while somebody else went on must not put a dead pair over a living one. It finds
    the newer pair at its next look.
    """
    values = asdict(row)
    values |= {"of_connection": row.connection, "of_generation": row.generation}
    if db.execute(_SET_SESSION, **values).rowcount:
        return True
    if db.execute(_HAS_SESSION, connection=row.connection).fetchone() is not None:
        return False
    db.execute(_NEW_SESSION, **values)
    return True
