"""The last good texts: what runs when a file is wrong, and what a deleted job is delivered by.

jobs/gps.yaml          the text that was accepted last
removed/job/gps        the last text of a job that is gone while the spool holds messages of it
removed/connection/…   the connections that such jobs may need
jobs/gps.yaml#PATH     a file of the schema that a job names, as it was then; the same below removed/
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.config.load import SCHEMA_OF
from agent.config.model import Connection, Job
from agent.config.piece import Accepted, digest
from agent.reload.world import Memory
from agent.spool.values import ConfigRow

# A run that was under way when its job was deleted may spool its last messages much later: seconds.
KEEP = 86_400.0
# Texts that are written together: one transaction's worth.
_TOGETHER = 200


class Texts:
    """What the memory holds, with a copy at hand."""

    def __init__(self, memory: Memory, root: Path) -> None:
        self._memory = memory
        self._root = root
        self._rows: dict[str, ConfigRow] = {}
        self._schemas: set[str] = set()
        self._good: dict[str, bytes] = {}
        self._digested: dict[str, tuple[ConfigRow, Connection | None]] = {}

    async def recall(self) -> None:
        """From the memory. Raises StateError."""
        self._rows = {row.path: row for row in await self._memory.config_rows()}
        self._schemas = {path for path in self._rows if SCHEMA_OF in path}
        self._good = {path: row.text for path, row in self._rows.items() if not row.deleted}

    @property
    def last_good(self) -> Mapping[str, bytes]:
        """Path below the config folder → text. The same mapping for ever."""
        return self._good

    async def accept(self, good: Mapping[str, Accepted], now: float) -> None:
        """These texts are good. One that is replaced is kept while its job has another name."""
        fresh = [(path, accepted) for path, accepted in good.items() if self._is_news(path, accepted)]
        for path, accepted in fresh:
            row = self._rows.get(path)
            if row is not None and row.name != accepted.name and accepted.kind != "schema":
                await self.remove(path, now)
        for start in range(0, len(fresh), _TOGETHER):
            part = fresh[start : start + _TOGETHER]
            await asyncio.gather(*(self._keep(_row_of(path, accepted, now)) for path, accepted in part))

    def _is_news(self, path: str, accepted: Accepted) -> bool:
        row = self._rows.get(path)
        return row is None or row.sha256 != accepted.sha256 or row.name != accepted.name

    async def remove(self, path: str, now: float) -> None:
        """The file is gone: its text is set aside until nothing needs it any more."""
        row = self._rows[path]
        if row.kind != "agent":
            aside = f"removed/{row.kind}/{row.name}"
            # The new row first: a crash in between leaves one too many, never one too few.
            await self._keep(
                ConfigRow(
                    path=aside,
                    kind=row.kind,
                    name=row.name,
                    text=row.text,
                    sha256=row.sha256,
                    accepted_at=now,
                    deleted=True,
                )
            )
            for each in self._schemas_of(path):
                kept = replace(
                    self._rows[each], path=each.replace(path, aside, 1), accepted_at=now, deleted=True
                )
                await self._keep(kept)
                await self._drop(each)
        await self._drop(path)

    def _schemas_of(self, path: str) -> list[str]:
        return [each for each in self._schemas if each.startswith(f"{path}{SCHEMA_OF}")]

    async def tidy(self, accepted: Mapping[str, Accepted]) -> None:
        """Schemas that an accepted job does not name any more are let go."""
        for path in list(self._schemas):
            if path.partition(SCHEMA_OF)[0] in accepted and path not in accepted:
                await self._drop(path)

    async def forget(self, needed: frozenset[str], now: float) -> None:
        """Only these removed jobs are still needed; without any, no removed connection is either."""
        for path, row in [(path, row) for path, row in self._rows.items() if row.deleted]:
            unneeded = row.name not in needed if row.kind in {"job", "schema"} else not needed
            if unneeded and now - row.accepted_at >= KEEP:
                await self._drop(path)

    def knows(self, job: str) -> bool:
        """Whether there is a text of a job of that name."""
        return any(row.kind == "job" and row.name == job for row in self._rows.values())

    def connections(self) -> dict[str, Connection]:
        """The connections by their last texts; one that is there hides one that is gone."""
        found: dict[str, Connection] = {}
        rows = [row for row in self._rows.values() if row.kind == "connection"]
        for row in sorted(rows, key=lambda row: not row.deleted):
            if (value := self._connection(row)) is not None:
                found[value.name] = value
        return found

    def _connection(self, row: ConfigRow) -> Connection | None:
        """What a row means; a row is not digested twice."""
        known, value = self._digested.get(row.path, (None, None))
        if known is not row:
            piece = digest(row.path, "connection", row.text, row.path, self._root)
            value = piece.value if isinstance(piece.value, Connection) else None
            self._digested[row.path] = row, value
        return value

    def job(self, name: str, connections: Mapping[str, Connection]) -> Job | None:
        """A job by its last text; None when there is none, or when it means nothing any more."""
        rows = [row for row in self._rows.values() if row.kind == "job" and row.name == name]
        for row in sorted(rows, key=lambda row: row.deleted):
            schemas = self._schemas_of(row.path)
            kept = {path.partition(SCHEMA_OF)[2]: self._rows[path].text for path in schemas}
            piece = digest(row.path, "job", row.text, row.path, self._root, kept=kept)
            piece.relate(connections, {}, reads=False)
            if (job := piece.job()) is not None:
                return job
        return None

    async def _keep(self, row: ConfigRow) -> None:
        await self._memory.keep_config(row)
        self._rows[row.path] = row
        if not row.deleted:
            self._good[row.path] = row.text
        if SCHEMA_OF in row.path:
            self._schemas.add(row.path)

    async def _drop(self, path: str) -> None:
        await self._memory.drop_config(path)
        del self._rows[path]
        self._good.pop(path, None)
        self._schemas.discard(path)
        self._digested.pop(path, None)


def _row_of(path: str, accepted: Accepted, now: float) -> ConfigRow:
    return ConfigRow(
        path=path,
        kind=accepted.kind,
        name=accepted.name,
        text=accepted.text,
        sha256=accepted.sha256 or hashlib.sha256(accepted.text).hexdigest(),
        accepted_at=now,
        deleted=False,
    )
