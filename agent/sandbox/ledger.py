"""What the sandbox received: one row a request, and the sums.

Rows and bodies are kept up to a limit and the oldest go first; the sums and the keys go on.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

from agent.sandbox.body import Body
from agent.sandbox.settings import Settings
from agent.sandbox.spill import Spill

Dropped = Literal["", "before", "after"]
SIGN_IN = ("login", "refresh")


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """One request as the sandbox saw it. Never holds a token or a password."""

    number: int
    """From 1, in the order in which requests were dealt with."""
    time: float
    """Seconds since 1970."""
    endpoint: str
    method: str
    path: str
    """With its query."""
    key: str
    """Its `Idempotency-Key`; empty when it had none."""
    token: int | None
    """The serial of the token pair it was signed with (or, for login and refresh, was given)."""
    status: int
    """The answer; with `dropped` the one that was never sent (0: none was made)."""
    dropped: Dropped
    processed: bool
    """Whether the platform took its records in."""
    repeat: bool
    """Whether a request with the same key had been processed before."""
    reason: str
    """Why it was refused; empty when it was not."""
    body: Body = field(repr=False)

    def as_json(self) -> dict[str, object]:
        """Everything but the body's bytes."""
        return {
            "number": self.number,
            "time": datetime.fromtimestamp(self.time, UTC).isoformat(timespec="microseconds"),
            "endpoint": self.endpoint,
            "method": self.method,
            "path": self.path,
            "key": self.key,
            "token": self.token,
            "status": self.status,
            "dropped": self.dropped,
            "processed": self.processed,
            "repeat": self.repeat,
            "reason": self.reason,
            "content_type": self.body.content_type,
            "gzip": self.body.gzip,
            "bytes": self.body.size,
            "records": self.body.records,
            "sha256": self.body.sha256,
        }

    def body_as_json(self) -> dict[str, object]:
        """The body's bytes as `body` (text), or `body_hex` where they are no UTF-8."""
        plain = self.body.plain
        if plain is None:
            return {"body": None}
        try:
            return {"body": plain.decode()}
        except UnicodeDecodeError:
            return {"body_hex": plain.hex()}


class Ledger:
    """Rows, sums and keys. Written from one event loop only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = asyncio.Event()
        self._spill = Spill(0)
        self.clear()

    def clear(self) -> None:
        """Forget everything; numbers start again at 1."""
        self.rows: deque[Received] = deque()
        self.answers: dict[str, Counter[str]] = {}
        self.last = 0
        self.bytes = 0
        self.repeats = 0
        self.unauthorized = 0
        self.keys: dict[str, int] = {}
        """Key → how often a request with it was processed or answered as already processed."""
        self._records: Counter[str] = Counter()
        self._first_records: Counter[str] = Counter()
        self._uncounted: list[Received] = []
        self._with_body: deque[Received] = deque()
        self._kept = 0
        self._spill.close()
        self._spill = Spill(self._settings.spill_bytes)
        self._changed.set()

    def note_key(self, key: str) -> bool:
        """Remember that a request with this key is processed; whether one was before."""
        if not key:
            return False
        times = self.keys.get(key, 0)
        self.keys[key] = times + 1
        self.repeats += bool(times)
        return times > 0

    def add(self, make: Callable[[int], Received]) -> Received:
        """Write one row down; `make` is given its number."""
        self.last += 1
        row = make(self.last)
        self.rows.append(row)
        word = "dropped" if row.dropped == "before" else str(row.status)
        self.answers.setdefault(row.endpoint, Counter())[word] += 1
        self.bytes += row.body.size
        self.unauthorized += row.status == 401 and row.endpoint not in SIGN_IN  # noqa: PLR2004 - RFC 9110, 15.5.2
        if row.body.size:
            self._uncounted.append(row)
            self._with_body.append(row)
            self._kept += row.body.size
        self._trim()
        self._changed.set()
        return row

    def _trim(self) -> None:
        while len(self.rows) > self._settings.keep_requests:
            self.rows.popleft()
        oldest = self.rows[0].number
        while self._with_body and (
            self._kept > self._settings.keep_bytes or self._with_body[0].number < oldest
        ):
            row = self._with_body.popleft()
            self._kept -= row.body.size
            row.body.move_to(self._spill)
        if len(self._uncounted) > self._settings.keep_requests:
            self.records()

    def uncounted(self) -> list[Received]:
        """Rows whose bodies no sum has seen yet; for another thread to `settle()`."""
        return self._uncounted

    def records(self) -> tuple[dict[str, int], dict[str, int]]:
        """Records taken in per endpoint: in all, and without those of repeated keys."""
        fresh, self._uncounted = self._uncounted, []
        for row in fresh:
            if row.processed:
                self._records[row.endpoint] += row.body.records
                self._first_records[row.endpoint] += 0 if row.repeat else row.body.records
        return dict(self._records), dict(self._first_records)

    def select(self, *, endpoint: str = "", after: int = 0, limit: int | None = None) -> list[Received]:
        """Rows with a number above `after`, oldest first."""
        rows: Iterable[Received] = self.rows
        if self.rows:
            # Numbers have no gaps, so the place of a row follows from its number.
            rows = islice(self.rows, max(0, after - self.rows[0].number + 1), None)
        return list(islice((row for row in rows if endpoint in ("", row.endpoint)), limit))

    def close(self) -> None:
        """Count what is in the file and give its room back; everything else can still be asked."""
        for row in self._uncounted:
            row.body.settle()
        for row in self.rows:
            row.body.leave_file()
        self._spill.close()

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready()` holds; it is asked again after each request."""
        while not ready():
            self._changed.clear()
            await self._changed.wait()
