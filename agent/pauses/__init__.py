"""What a person has paused: kept over restarts, and told to both halves at once.

pause, resume ──▶ rows in the spool ──▶ collector: runs that are not started
     ▲                 │            └─▶ deliverer: lanes that wait, visibly
  `--for` is over ─────┘            └─▶ on_resumed(job): what fell into its pause was missed

    paused           is not collected                          is not delivered
    a job            none of its runs is started               its lanes wait
    a connection     by jobs that read over it (HTTP, SQL)     by jobs that deliver over it

What is under way ends as it began. A pause belongs to a name: it stays when the file of the job goes away for
a moment, and holds what a removed job has left in the spool, until somebody resumes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from agent.clock import Clock
from agent.config.model import Job, Plan
from agent.errors import AgentError
from agent.logs import get_log
from agent.message import JsonValue
from agent.pauses.wish import TOLD, Kind, Part, Wish, as_json, jobs_meant, named, read_over, wish_of
from agent.phrases import rfc3339
from agent.spool import PauseRow, Spool

log = get_log("pauses")

Held: TypeAlias = "Mapping[str, PauseRow]"
"""Job → why it does not collect, or not deliver."""

_LOOK = 30.0
"""Seconds at most between two looks at the wall clock: it may be set, and a machine may sleep."""


class Pauses:
    """Those of one state folder. Belongs to one event loop."""

    def __init__(
        self,
        spool: Spool,
        clock: Clock,
        *,
        collecting: Callable[[Held], None] = lambda _: None,
        delivering: Callable[[Held], None] = lambda _: None,
    ) -> None:
        """Both are told which jobs they have to leave alone, again whenever that changes."""
        self.on_resumed: Callable[[str], None] = lambda _: None
        """Called with each job that may collect again."""
        self._spool = spool
        self._clock = clock
        self._tell_collecting = collecting
        self._tell_delivering = delivering
        self._rows: dict[tuple[Kind, str, Part], PauseRow] = {}
        self._plan = Plan()
        self._draining: Mapping[str, Job] = {}
        self._held: Held = {}
        self._held_back: Held = {}
        self._changing = asyncio.Lock()
        self._news = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------ life

    async def start(self) -> None:
        """Recall what was paused; from now on pauses end by themselves."""
        await self.recall()
        _tell(log.info, "is still paused", self.rows())
        self._ending = asyncio.create_task(self._end_in_time(), name="pauses")

    async def recall(self) -> None:
        """Read what the state remembers. Raises StateError."""
        self._rows = {_key(row): row for row in await self._spool.pauses()}
        await self._lift_what_is_over()
        self._spread()

    async def stop(self) -> None:
        """Twice is fine."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.gather(self._ending, return_exceptions=True)
            self._ending = None

    def set_plan(self, plan: Plan, draining: Mapping[str, Job]) -> None:
        """From now on these jobs and connections; `draining` are gone and still have messages."""
        self._plan, self._draining = plan, draining
        self._spread()

    def rows(self) -> list[PauseRow]:
        """All that is paused."""
        return [self._rows[key] for key in sorted(self._rows)]

    def is_collecting_paused(self, job: str) -> bool:
        """Whether no run of the job is started, itself or through its connection."""
        return job in self._held

    def delivering_paused(self, job: str) -> PauseRow | None:
        """Why nothing of the job is sent; None: it is not paused."""
        return self._held_back.get(job)

    def jobs_of(self, wish: Wish) -> tuple[str, ...]:
        """The jobs that are named, that deliver over the connections that are named, or all. UsageError."""
        return jobs_meant(wish, self._plan, self._draining)

    # ------------------------------------------------------------------------------ by a person's wish

    async def pause(self, wish: Wish) -> list[PauseRow]:
        """What is paused by it now, of which nothing was before. Raises UsageError for an unknown name.

        What was paused before stays so, with the new reason and the new end.
        """
        async with self._changing:
            names = named(wish, self._plan, self._draining)
            now = self._clock.now()
            until = None if wish.seconds is None else now + wish.seconds
            rows = [
                PauseRow(kind=kind, name=name, part=part, reason=wish.reason, since=now, until=until)
                for kind, name in names
                for part in wish.parts
            ]
            fresh = [row for row in rows if _key(row) not in self._rows]
            kept = [self._renewed(row) for row in rows]
            await self._spool.put_pauses(kept)
            self._rows.update({_key(row): row for row in kept})
            self._spread()
        _tell(log.warning, "paused", fresh)
        return fresh

    def _renewed(self, row: PauseRow) -> PauseRow:
        before = self._rows.get(_key(row))
        return row if before is None else replace(row, since=before.since, reason=row.reason or before.reason)

    async def resume(self, wish: Wish) -> list[PauseRow]:
        """What is not paused any more. Raises UsageError for a name that is neither known nor paused."""
        async with self._changing:
            names = set(named(wish, self._plan, self._draining, self._rows.values()))
            rows = [
                row
                for row in self.rows()
                if row.part in wish.parts and (wish.everything or (row.kind, row.name) in names)
            ]
            await self._lift(rows)
        _tell(log.info, "resumed", rows)
        return rows

    async def answer(self, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """For the control socket: `action` (pause, resume) and the fields of `Wish`."""
        wish, action = wish_of(arguments), arguments.get("action")
        if action not in {"pause", "resume"}:
            raise AgentError("pause wants an action (pause, resume)")
        changed = await (self.pause(wish) if action == "pause" else self.resume(wish))
        return {
            "action": action,
            "changed": [as_json(row) for row in changed],
            "paused": [as_json(row) for row in self.rows()],
        }

    # ------------------------------------------------------------------------------ what follows from it

    async def _lift(self, rows: Sequence[PauseRow]) -> None:
        if rows:
            await self._spool.drop_pauses(rows)
            for row in rows:
                self._rows.pop(_key(row), None)
            self._spread()

    async def _lift_what_is_over(self) -> None:
        now = self._clock.now()
        over = [row for row in self.rows() if row.until is not None and row.until <= now]
        await self._lift(over)
        _tell(log.info, "a pause is over", over)

    async def _end_in_time(self) -> None:
        while True:
            self._news.clear()
            ends = [row.until for row in self._rows.values() if row.until is not None]
            if not ends:
                await self._news.wait()
                continue
            await self._news_or(min(max(min(ends) - self._clock.now(), 0.05), _LOOK))
            try:
                async with self._changing:
                    await self._lift_what_is_over()
            except AgentError as error:
                log.warning("a pause cannot be ended now", reason=error.message)
                await self._clock.sleep(_LOOK)

    async def _news_or(self, seconds: float) -> None:
        """Another pause may end before the one that is slept for."""
        waits = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    def _spread(self) -> None:
        """Tell both halves."""
        self._news.set()
        before = self._held
        self._held = self._effective("collecting", self._plan.jobs, read_over)
        everyone = {**self._draining, **self._plan.jobs}
        self._tell_collecting(self._held)
        self._held_back = self._effective("delivering", everyone, _delivered_over)
        self._tell_delivering(self._held_back)
        for job in before:
            if job not in self._held:
                self.on_resumed(job)

    def _effective(
        self, part: Part, jobs: Mapping[str, Job], over: Callable[[Job], str | None]
    ) -> dict[str, PauseRow]:
        if not self._rows:
            return {}
        held = {row.name: row for row in self._rows.values() if row.kind == "job" and row.part == part}
        for name, job in jobs.items():
            connection = over(job)
            if name not in held and connection is not None:
                row = self._rows.get(("connection", connection, part))
                if row is not None:
                    held[name] = row
        return held


def _delivered_over(job: Job) -> str | None:
    return job.target.connection


def _key(row: PauseRow) -> tuple[Kind, str, Part]:
    return row.kind, row.name, row.part


def _tell(say: Callable[..., None], event: str, rows: Sequence[PauseRow]) -> None:
    """Each in a line; of very many only the first, so that ten thousand lines do not hold the event loop."""
    for row in rows[:TOLD]:
        say(event, **_words(row))
    if len(rows) > TOLD:
        say(f"{event}: and more", pauses=len(rows) - TOLD)


def _words(row: PauseRow) -> dict[str, str]:
    words = {row.kind: row.name, "part": row.part, "reason": row.reason}
    return words if row.until is None else {**words, "until": rfc3339(row.until)}
