"""Waits until nobody seems to be in the middle of saving."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.clock import Clock
from agent.reload.fingerprint import EMPTY, Fingerprint, look

# All in seconds.
APART = 0.2
"""Two looks this far apart must agree."""
GRACE = 2.0
"""A file that vanished or became empty may be in the middle of being saved."""
WRITER = 30.0
"""A writer who stalls is waited for; after that the file is judged as it lies there."""
AT_THE_START = 3.0
"""The first load waits no longer for a writer: one that somebody holds open must not hold up all jobs.
The reload that follows its last write comes by itself."""
AT_MOST = 60.0
"""A file that never stands still is read all the same."""


async def settled(
    folder: Path,
    known: Fingerprint,
    clock: Clock,
    *,
    writer: float = WRITER,
    beside: frozenset[str] = frozenset(),
    first: Fingerprint | None = None,
) -> Fingerprint:
    """What the folder holds, once it stands still; `known` is what was loaded before.

    `first`: the first look, if there was one a moment ago. `beside` are files outside of it, or below it,
    that count as well: the schemas that jobs name.
    """
    begun = clock.monotonic()
    seen = first or await asyncio.to_thread(look, folder, known, beside)
    while True:
        await clock.sleep(APART)
        again = await asyncio.to_thread(look, folder, known, beside, before=seen)
        waited = clock.monotonic() - begun
        in_place = _in_the_middle(known, again) and waited < GRACE
        written = again.writing and waited < writer
        if waited >= AT_MOST or (again == seen and not in_place and not written):
            return again
        seen = again


def _in_the_middle(known: Fingerprint, now: Fingerprint) -> bool:
    """Whether a file that was loaded before is gone or empty."""
    if known.files.keys() <= now.files.keys() and EMPTY not in now.files.values():
        return False  # most looks, at once
    return any(now.files.get(path, EMPTY) == EMPTY != before for path, before in known.files.items())
