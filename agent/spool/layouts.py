"""Which lane a message lies in: its number, and the layout of its job's lanes at that time.

    lane = generation * 1024 + number        4 * 1024 + 7: lane 7 of the job's fifth layout (from 0)

A layout is another one when the job's `order` changed: then a key may belong into another lane, and what
lies in its old lane must leave before what is new. So messages of a new layout get a new generation, and
a job's lanes of one generation are not to be seen before all those of the earlier ones are empty. All that
decides it lies in the rows of the messages: it holds through any stop, kill or change back.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select

from agent.message import LANES, STRICT, Layout
from agent.spool.database import Database, Saved, Statement
from agent.spool.tables import layouts, messages

_LAYOUT = Statement(
    select(layouts.c.generation, layouts.c.name, layouts.c.lanes).where(layouts.c.job == bindparam("job"))
)
_ANY = Statement(select(messages.c.id).where(messages.c.job == bindparam("job")).limit(1))
_LAST = Statement(
    select(messages.c.lane)
    .where(messages.c.job == bindparam("job"))
    .order_by(messages.c.lane.desc())
    .limit(1)
)
_SAVE = Saved(layouts)


def first_lane(lane: int) -> int:
    """The lane 0 of the same generation: what lies in a lane below it lies in an earlier one."""
    return lane - lane % LANES


def base_for(db: Database, job: str, layout: Layout) -> int:
    """What to add to the numbers of this layout's lanes; for a changed one, a new generation begins.

    Where nothing of the job waits there is nothing to be in the way of, and the generation stays.
    """
    generation, name, _ = _stored(db, job)
    if name == layout.name:
        return generation * LANES
    if db.execute(_ANY, job=job).fetchone() is not None:
        generation += 1
    _SAVE.put(db, {"job": job, "generation": generation, "name": layout.name, "lanes": layout.lanes})
    return generation * LANES


def lane_now(db: Database, job: str, lane: int) -> int:
    """Where a message that once lay in this lane belongs now; it has no record to ask for its key."""
    generation, _, lanes = _stored(db, job)
    if first_lane(lane) == generation * LANES:
        return lane
    return generation * LANES + lane % LANES % lanes


def _stored(db: Database, job: str) -> tuple[int, str, int]:
    row = db.execute(_LAYOUT, job=job).fetchone()
    if row is not None:
        return int(row[0]), str(row[1]), int(row[2])
    # Most jobs have one lane and no row. Where one is missing that was there, after damage to the database,
    # the messages tell the generation; their layout is as good as none, so that the next one waits for them.
    last = db.execute(_LAST, job=job).fetchone()
    lane = 0 if last is None else int(last[0])
    return lane // LANES, "" if lane else STRICT.name, STRICT.lanes
