"""How far jobs are on their way out of the spool: what `push --wait` and `drain` ask again and again.

push ─▶ run ─▶ a mark: its runs, and the last message that they spooled
                 │
ask: is anything up to the mark still to be sent? why does it wait? what of it became dead letters?

Whoever asks waits; the daemon only answers, so that nobody who left is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.collect import RunResult
from agent.engine import Engine
from agent.errors import AgentError
from agent.message import JsonValue
from agent.spool import Backlog, LaneWait
from agent.status import explain
from agent.survey import lane_status


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What some runs of a job have spooled."""

    job: str
    first_run: int
    last_run: int
    message: int
    """The last one that lay in the spool when they had ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What of a job is still on its way."""

    job: str
    messages: int
    """That can be sent."""
    records: int
    held: int
    """Messages of what is not read to its end."""
    collecting: str
    """What its run does now; "" when there is none."""
    waits: str
    """Why a lane of it waits; "" when none does."""
    over: bool
    """Nothing of what is waited for can still be sent."""
    dead: int = 0
    """Dead letters of the runs that are waited for."""
    dead_records: int = 0

    def as_json(self) -> dict[str, JsonValue]:
        """For the control socket."""
        return {name: getattr(self, name) for name in self.__slots__}


class Following:
    """Answers for one engine. Belongs to its event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def push(self, job: str, limit: int | None) -> tuple[RunResult, Mark]:
        """Run the job once; what it came to, and what is to be waited for. Raises as `run_now` does."""
        result = await self._engine.collector.run_now(job, limit)
        last = await self._engine.spool.newest_message(job) if result.messages else 0
        mark = Mark(job=job, first_run=result.first_run, last_run=result.last_run, message=last)
        return result, mark

    async def since(self, mark: Mark) -> Left:
        """How far what a push has spooled is."""
        spool = self._engine.spool
        [left] = await self.of([mark.job])
        over = not mark.message or not await spool.any_message_up_to(mark.job, mark.message)
        fallen = await spool.fallen(mark.job, mark.first_run, mark.last_run) if mark.first_run else None
        return Left(
            job=left.job,
            messages=left.messages,
            records=left.records,
            held=left.held,
            collecting=left.collecting,
            waits=left.waits,
            over=over,
            dead=fallen.letters if fallen else 0,
            dead_records=fallen.records if fallen else 0,
        )

    async def of(self, jobs: Iterable[str]) -> list[Left]:
        """How far these jobs are; `over` when nothing of one can be sent and no run of it is under way."""
        backlogs = {one.job: one for one in await self._engine.spool.backlogs()}
        collecting = self._engine.collector.snapshot().collecting
        waits = {wait.job: wait for wait in reversed(self._engine.deliverer.snapshot().waits)}
        return [_left(job, backlogs.get(job), collecting.get(job, ""), waits.get(job)) for job in jobs]

    # ------------------------------------------------------------------------------ the control socket

    async def answer_push(self, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """`job` and, if at all, `limit`; what the run came to, with its mark."""
        job, limit = arguments.get("job"), arguments.get("limit")
        if not isinstance(job, str) or not (limit is None or isinstance(limit, int)):
            raise AgentError("push wants a job and, if at all, a whole number as limit")
        result, mark = await self.push(job, limit)
        runs: list[JsonValue] = [mark.first_run, mark.last_run]
        return {
            "job": job,
            "state": result.state,
            "reason": result.reason,
            "records": result.records,
            "messages": result.messages,
            "mark": {"runs": runs, "message": mark.message},
        }

    async def answer(self, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """`jobs` (all of each), or `job` and the `mark` that its push gave."""
        jobs, job, mark = (arguments.get(word) for word in ("jobs", "job", "mark"))
        if isinstance(job, str) and isinstance(mark, dict):
            left = [await self.since(_mark(job, mark))]
        elif isinstance(jobs, list):
            left = await self.of(name for name in jobs if isinstance(name, str))
        else:
            raise AgentError("left wants jobs, or a job and its mark")
        return {"jobs": [one.as_json() for one in left]}


def _left(job: str, backlog: Backlog | None, collecting: str, wait: LaneWait | None) -> Left:
    messages, held = (backlog.messages, backlog.held) if backlog else (0, 0)
    return Left(
        job=job,
        messages=messages,
        records=backlog.records if backlog else 0,
        held=held,
        collecting=collecting,
        waits=explain(lane_status(wait)) if wait is not None else "",
        over=not messages and not collecting,
    )


def _mark(job: str, told: Mapping[str, JsonValue]) -> Mark:
    """Raises AgentError."""
    runs, message = told.get("runs"), told.get("message")
    if isinstance(runs, list) and len(runs) == 2 and isinstance(message, int):  # noqa: PLR2004 - from, to
        first, last = runs
        if isinstance(first, int) and isinstance(last, int):
            return Mark(job=job, first_run=first, last_run=last, message=message)
    raise AgentError("this is no mark of a push")
