"""The message that a lane has in hand, and which part of it is sent next (see `agent.parts`)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

from agent.bodies import gzipped
from agent.message import Message
from agent.parts import Apart, Form, Piece, Progress, UnfitBodyError, count, halves, key_of, origin_of
from agent.receipt_keys import keys_of_ranges
from agent.spool import Left
from agent.target import gunzip

_AT_ONCE = 65_536
"""Bytes of a body before gzip: smaller ones are taken apart on the event loop."""
_FEW = 20
"""Records that are made into bodies of their own on the event loop."""


class Hand:
    """One message, from its first attempt to its end."""

    def __init__(self, message: Message) -> None:
        self.message = message
        """As it lies in the spool now."""
        self.part = message
        """What is sent next, as if it were a message: the whole, or some of its records."""
        self.piece: Piece | None = None
        """The records of the part; None: the whole."""
        self.told = False
        """The log says that it is taken apart."""
        self.delivered = self.dead = 0
        """Records of it that have left, in this process."""
        self.progress = Progress.read(message.progress) if message.progress else None
        self._apart: Apart | None = None
        self._whole = False

    async def begin(self) -> None:
        """Make the part that is sent next.

        Raises UnfitBodyError where what was taken apart once cannot be any more.
        """
        if self.progress is None:
            self.part, self.piece = self.message, None
            return
        await self._take_apart()
        top = self.progress.pieces[0]
        if top != self.piece:
            self.piece = top
            self.part = await self.made(top)

    async def divisible(self) -> bool:
        """Whether the part has several records and its body can be taken apart.

        A batch of one is taken apart too: its record alone is not its body.
        """
        if self._whole or not self.message.form:
            return False
        try:
            await self._take_apart()
        except UnfitBodyError:
            self._whole = True
            return False
        return self.part.records > 1

    async def made(self, piece: Piece) -> Message:
        """A piece as a message of its own: its body, its key, its place in the source."""
        assert self._apart is not None
        small = self._apart.size(piece) < _AT_ONCE
        return self._made(piece) if small else await asyncio.to_thread(self._made, piece)

    async def each(self, numbers: Collection[int]) -> list[Message]:
        """Single records as messages of their own."""
        pieces: list[Piece] = [((number, number),) for number in numbers]
        if len(pieces) < _FEW:
            return [self._made(piece) for piece in pieces]
        return await asyncio.to_thread(lambda: [self._made(piece) for piece in pieces])

    def _made(self, piece: Piece) -> Message:
        apart, message = self._apart, self.message
        assert apart is not None
        return replace(
            message,
            body=gzipped(apart.body(piece)),
            size=apart.size(piece),
            records=count(piece),
            key=key_of(message.key, piece),
            origin=origin_of(message.origin, self._total, piece),
            progress="",
            record_keys=keys_of_ranges(message.record_keys, piece, records=self._total),
        )

    def size(self, piece: Piece) -> int:
        """Bytes of a piece."""
        assert self._apart is not None
        return self._apart.size(piece)

    def record(self, number: int) -> bytes:
        """The text of one record; of a message that is no batch, its body."""
        if self._apart is None:
            return gunzip(self.message.body)
        return self._apart.record(number)

    def halves(self) -> tuple[tuple[Piece, Piece], int]:
        """The part in two pieces, and the bytes of the larger one."""
        assert self._apart is not None
        both = halves(self.records)
        return both, max(map(self._apart.size, both))

    def fitting(self, most: int) -> Left:
        """All that is left in pieces of at most so many bytes, where they can be.

        Of those behind the part none was ever sent.
        """
        assert self._apart is not None
        behind = self.progress.pieces[1:] if self.progress else ()
        pieces = [fit for piece in (self.records, *behind) for fit in self._apart.fitting(piece, most)]
        return replace(self._left(Progress(records=self._total, pieces=tuple(pieces))), durable=True)

    def instead(self, *pieces: Piece, attempts: int = 0) -> Left | None:
        """What is left once the part is replaced by these pieces; None: nothing."""
        progress = (self.progress or Progress.of(self._total)).then(*pieces)
        return self._left(progress, attempts) if progress.pieces else None

    def _left(self, progress: Progress, attempts: int = 0) -> Left:
        assert self._apart is not None
        rest = progress.rest
        return Left(
            progress=str(progress), records=count(rest), size=self._apart.size(rest), attempts=attempts
        )

    @property
    def _total(self) -> int:
        return self.progress.records if self.progress else self.message.records

    def became(self, left: Left) -> None:
        """The spool has it so."""
        self.progress = Progress.read(left.progress)
        self.message = replace(
            self.message,
            progress=left.progress,
            records=left.records,
            size=left.size,
            attempts=left.attempts,
        )

    @property
    def records(self) -> Piece:
        """Those of the part, by their numbers in the body."""
        return self.piece or ((1, self.message.records),)

    async def rest(self) -> Message:
        """All that is left of the message, as one."""
        if self.progress is None:
            return self.message
        await self._take_apart()
        return await self.made(self.progress.rest)

    async def _take_apart(self) -> None:
        if self._apart is not None:
            return
        message = self.message
        records = self._total
        if len(message.body) < _AT_ONCE // 16:
            self._apart = _taken(message, records)
        else:
            self._apart = await asyncio.to_thread(_taken, message, records)


def _taken(message: Message, records: int) -> Apart:
    form = Form.read(message.form)
    if form is None:
        raise UnfitBodyError("it is not known how its records stand in it")
    try:
        return Apart(gunzip(message.body), form, records)
    except (OSError, EOFError) as error:
        raise UnfitBodyError(f"the body in the spool is damaged: {error}") from error
