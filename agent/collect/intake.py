"""Chunks into the spool, in order: the half of a run that every kind of source shares.

While one append becomes durable the next chunk is rendered; it is appended only when the one before it is
in, so the cursor never skips anything. While the spool is full, the run waits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from agent.collect.bad import letter_of
from agent.collect.files import StoppedError
from agent.collect.result import Hands
from agent.collect.room import Room
from agent.config.model import Job
from agent.errors import SourceError, SpoolFull, StateError
from agent.logs import get_log
from agent.message import Cursor
from agent.render import BadRecord, Chunk, Context
from agent.spool import Pending, Spool

log = get_log("collect")

Rendering: TypeAlias = "Callable[[], Iterator[Chunk]]"
_UnderWay: TypeAlias = "tuple[Chunk, Pending[list[str]]]"

TOGETHER = 1000
"""Dead letters that are handed to the spool at once."""


class Place(Protocol):
    """What the chunks of one reading belong to."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def file(self) -> int | None:
        """The row of the spool's table of files, where it is one."""

    @property
    def seed(self) -> str:
        """What the keys of its messages begin with; "" for keys by chance."""

    @property
    def hold(self) -> bool:
        """Whether nothing of it is visible before all of it is in the spool."""

    def cursor_at(self, chunk: Chunk) -> Cursor | None:
        """The job's cursor once the chunk is spooled; stored with it, in one transaction."""

    def reached(self, chunk: Chunk) -> None:
        """The chunk is durable."""


@dataclass(kw_only=True)
class Intake:
    """What one run puts into the spool."""

    job: Job
    run: int
    spool: Spool
    ctx: Context
    hands: Hands
    room: Room
    records: int = 0
    messages: int = 0
    whole: bool = False
    """Whether all that is taken is read again when some of it cannot be sent: a page, a window."""
    letters: list[int] = field(default_factory=list)
    """With `whole`, the dead letters of its records."""

    def take(self, place: Place, chunks: Rendering) -> None:
        """Append all chunks. Raises what making them raises, StoppedError, and what `Room.wait` does."""
        under_way: _UnderWay | None = None
        try:
            with _closed_at_the_end(chunks()) as rendered:
                for chunk in rendered:
                    arriving, under_way = under_way, None
                    self._arrive(place, arriving)
                    self.stop_if_asked()
                    self._bury(chunk.bad, place)
                    under_way = chunk, self._append(chunk, place)
        except (StoppedError, StateError):
            raise
        except Exception as error:
            # It becomes durable all the same: the cursor of the next file must not go back behind it.
            if not (place.hold and isinstance(error, SourceError) and error.lasting):
                self._arrive(place, under_way)
            raise
        self._arrive(place, under_way)

    def take_back(self) -> None:
        """Nothing of what was taken last is sent, and all of it is read again: so its letters go."""
        while self.letters:
            some, self.letters = self.letters[:TOGETHER], self.letters[TOGETHER:]
            for pending in [self.spool.drop_dead(letter) for letter in some]:
                with contextlib.suppress(LookupError):  # a person was faster
                    pending.result()

    def stop_if_asked(self) -> None:
        """Raises StoppedError when the agent stops."""
        if self.ctx.cancelled():
            raise StoppedError

    def _append(self, chunk: Chunk, place: Place) -> Pending[list[str]]:
        return self.spool.append(
            self.run,
            chunk.drafts,
            cursor=place.cursor_at(chunk),
            file=place.file,
            seed=self._seed(place),
            layout=self.job.delivery.order.layout,
        )

    def _seed(self, place: Place) -> str:
        """Batches that are cut to another size are other requests: a target must not take them for those."""
        seed, fit = place.seed, self.ctx.fit
        return f"{seed}~{fit}" if seed and fit is not None else seed

    def _arrive(self, place: Place, under_way: _UnderWay | None) -> None:
        """Wait until the chunk is durable; while the spool is full, try it again and again."""
        if under_way is None:
            return
        chunk, pending = under_way
        said = False
        while True:
            try:
                pending.result()
                break
            except SpoolFull as error:
                if not said:
                    log.warning(
                        "collecting waits: the spool is full", job=self.job.name, reason=error.message
                    )
                said = True
                # Others may go on when the limit is this job's own: its run then holds no slot of theirs.
                with self.ctx.aside() if error.limit == "job" else contextlib.nullcontext():
                    self.room.wait(place.name, chunk, error)
                pending = self._append(chunk, place)
        if said:
            log.info("the spool has room again", job=self.job.name)
            self.hands.say("reading")
        self.room.took(chunk)
        place.reached(chunk)
        self.messages += len(chunk.drafts)
        self.records += sum(draft.records for draft in chunk.drafts)

    def _bury(self, records: tuple[BadRecord, ...], place: Place) -> None:
        """Bad records become dead letters before their chunk is appended: after a kill twice, never lost.

        Many are handed over before the first is waited for: the spool commits what waits together.
        """
        now = self.ctx.clock.now()
        job, run, file, name = self.job.name, self.run, place.file, place.name
        left = [letter_of(bad, job=job, run=run, file=file, name=name, now=now) for bad in records]
        while left:
            handed = [(letter, self.spool.add_dead(letter)) for letter in left[:TOGETHER]]
            numbers = [_number(pending) for _, pending in handed]
            if self.whole:
                self.letters += [number for number in numbers if number is not None]
            refused = [letter for (letter, _), number in zip(handed, numbers, strict=True) if number is None]
            left = refused + left[TOGETHER:]
            if refused:
                self.room.pause()


def _number(pending: Pending[int]) -> int | None:
    """Of a dead letter, once it is there; None when the spool is full."""
    try:
        return pending.result()
    except SpoolFull:
        return None


@contextlib.contextmanager
def _closed_at_the_end(chunks: Iterator[Chunk]) -> Iterator[Iterator[Chunk]]:
    """What the rendering holds open is let go, however it ends."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, Generator):
            chunks.close()
