"""How `dead retry`, `drop`, `edit` and `export` work: which letters, whether really, by whom, how far.

choose (read-only) ─▶ agree ─▶ desk: the daemon if one runs, else this process under the state's lock
                                └─ pieces of some hundreds, in the order of their messages
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import click

from agent.commands.screen import age, size
from agent.errors import AgentError, ControlError, StateLocked, UsageError
from agent.phrases import counted, number
from agent.web.client import call_and_wait, is_living

if TYPE_CHECKING:
    from agent.spool import Reader, Spot, Which

Ask: TypeAlias = "Callable[[dict[str, Any]], dict[str, Any]]"

PATIENCE = 300.0
"""Seconds that one piece may take where the disk is slow."""
_PIECE, _PIECE_WEIGHT = 250, 4_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What a command is about: counted when it began, so that what dies meanwhile is not part of it."""

    which: Which
    letters: int
    jobs: dict[str, int]
    size: int
    oldest: float | None
    upto: int
    by_id: bool
    """Each was named, so that nobody has to be asked."""

    def words(self, now: float) -> str:
        """`12 dead letters (gps: 10, planning: 2), 3.4 MB, the oldest 2d 3h old`."""
        of = ", ".join(f"{job}: {number(count)}" for job, count in self.jobs.items())
        old = f", the oldest {age(now - self.oldest)} old" if self.oldest is not None else ""
        return f"{counted(self.letters, 'dead letter')} ({of}), {size(self.size)}{old}"


def choose(
    reader: Reader, which: Which, ids: tuple[int, ...], limit: int | None, *, everything: bool
) -> Chosen:
    """Raises UsageError when nothing says which, AgentError for an id that is not there."""
    from agent.spool import Which  # noqa: PLC0415 - beside its use

    if which == Which(sendable=which.sendable) and not ids and not everything:
        raise UsageError("which dead letters?", hint="give ids, a filter such as --job JOB, or --all")
    which = replace(which, ids=ids)
    upto = reader.newest_letter()
    found = reader.letters_counted(which)
    letters = sum(one.letters for one in found)
    if ids and letters < len(set(ids)):
        _complain(reader, which, ids)
    return Chosen(
        which=which,
        letters=letters if limit is None else min(limit, letters),
        jobs={one.job: one.letters for one in found},
        size=sum(one.size for one in found),
        oldest=min((one.oldest for one in found), default=None),
        upto=upto,
        by_id=bool(ids),
    )


def _complain(reader: Reader, which: Which, ids: tuple[int, ...]) -> None:
    for each in sorted(set(ids)):
        letter = reader.dead_letter(each)
        if letter is None:
            raise AgentError(f"there is no dead letter {each}", hint="push-agent dead list shows all")
        if which.sendable and not letter.sendable:
            raise AgentError(
                f"dead letter {each} cannot be sent: its reason is “{letter.reason}”",
                hint="it never was a request; put it right at its source",
            )
    raise UsageError("not all of these dead letters match the filters", hint="leave the filters out")


def agree(chosen: Chosen, verb: str, now: float, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere `--yes` must have said so. Raises UsageError, click.Abort."""
    if yes or chosen.by_id or chosen.letters == 1:
        return
    what = f"{verb} {chosen.words(now)}"
    if not sys.stdin.isatty():
        raise UsageError(f"this would {what}", hint="say --yes if that is meant; --dry-run only counts")
    click.confirm(f"{what[0].upper()}{what[1:]}?", abort=True, err=True)


@contextlib.contextmanager
def desk(config: Path, folder: Path, action: str) -> Iterator[Ask]:
    """Who does it. Raises StateError, and StateLocked between a daemon's start and its being ready."""
    if is_living(folder):
        yield lambda words: dict(call_and_wait(folder, "dead", words, timeout=PATIENCE))
        return
    from agent.clock import SystemClock  # noqa: PLC0415 - beside its use
    from agent.config import load_settings  # noqa: PLC0415 - yaml costs 30 ms
    from agent.letters import LettersByHand  # noqa: PLC0415
    from agent.logs import set_up_logs  # noqa: PLC0415
    from agent.spool import DATABASE, Spool  # noqa: PLC0415 - sqlalchemy costs 250 ms

    if not (folder / DATABASE).exists():
        raise AgentError(
            f"there is no state in {folder}", hint="it is made at the first start; --state names it"
        )
    settings = load_settings(config)
    set_up_logs("error", settings.log_format)
    try:
        spool = Spool.open(
            folder, max_bytes=settings.spool_max_bytes, clock=SystemClock(), owner=f"dead {action}"
        )
    except StateLocked as error:
        raise ControlError(error.message, hint="the daemon is starting or stopping: try again") from error
    try:
        with asyncio.Runner() as runner:
            by_hand = LettersByHand(spool)
            yield lambda words: runner.run(by_hand.answer(words))
    finally:
        spool.close()


def pieces(folder: Path, chosen: Chosen) -> Iterator[list[Spot]]:
    """The letters in the order of their messages, some at a time: never all in memory.

    Each is looked up anew: the database is being written now, by the daemon or by this process.
    """
    from agent.spool import START, Reader  # noqa: PLC0415 - beside its use

    after, left = START, chosen.letters
    while left > 0:
        with Reader.open(folder) as reader:
            found = reader.letter_spots(chosen.which, after, upto=chosen.upto, limit=min(_PIECE, left))
        if not found:
            return
        piece: list[Spot] = []
        for spot in found:
            if piece and sum(each.weight for each in piece) + spot.weight > _PIECE_WEIGHT:
                break
            piece.append(spot)
        after = piece[-1]
        left -= len(piece)
        yield piece


class Progress:
    """How far it is: one line that is written over, on a terminal only."""

    def __init__(self, verb: str, total: int) -> None:
        self._verb = verb
        self._total = total
        self.done = 0

    def add(self, count: int) -> None:
        """So many more."""
        self.done += count
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{self._words()}", err=True, nl=False)

    def _words(self) -> str:
        return f"{self._verb} {number(self.done)} of {counted(self._total, 'dead letter')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)
        if kind is not None and self.done:
            words = f"stopped: {self._words()}; the same command goes on with the others"
            click.echo(words, err=True)
