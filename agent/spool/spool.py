"""The spool as both halves of the agent know it. Every method queues its work and returns a `Pending`."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from agent.clock import Clock
from agent.errors import SpoolFull
from agent.keys import key_of
from agent.logs import get_log
from agent.message import STRICT, Cursor, DeadLetter, Draft, Layout, Message, Receipt
from agent.spool import prune, queue, runs, settle
from agent.spool.database import Database
from agent.spool.files_api import FilesApi
from agent.spool.folder import StateLock, check_machine, prepare
from agent.spool.letters_api import LettersApi
from agent.spool.memory_api import MemoryApi
from agent.spool.opening import open_database
from agent.spool.parts_api import PartsApi
from agent.spool.pauses_api import PausesApi
from agent.spool.pending import Pending
from agent.spool.quota import Quota, weight_of
from agent.spool.receipts_api import ReceiptsApi
from agent.spool.thread import DatabaseThread
from agent.spool.values import Recovered
from agent.spool.windows_api import WindowsApi

log = get_log("spool")


class Spool(FilesApi, LettersApi, MemoryApi, PartsApi, PausesApi, ReceiptsApi, WindowsApi):
    """The durable state of one state folder. Made by `Spool.open`.

    What can go wrong with any `Pending`: SpoolFull (disk or limit full; nothing of it was done),
    StateError (the database cannot be used now; nothing of it counts as done, repeat it later).
    """

    recovered: Recovered | None = None
    """Set when the database was damaged and what could be read was saved."""

    def __init__(self, lock: StateLock, thread: DatabaseThread, quota: Quota, clock: Clock) -> None:
        super().__init__(thread, clock)
        self._lock = lock
        self._quota, self.limits = quota, quota.limits

    @classmethod
    def open(cls, state: Path, *, max_bytes: int, clock: Clock, owner: str = "daemon") -> Self:
        """Take the folder. Blocks. Raises StateLocked, and StateError when it is unusable or newer."""
        prepare(state)
        lock = StateLock(state, owner)
        lock.take()
        try:
            return cls._open(state, lock, max_bytes, clock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _open(cls, state: Path, lock: StateLock, max_bytes: int, clock: Clock) -> Self:
        check_machine(state)
        quota = Quota(state, max_bytes)
        db, recovered = open_database(state)
        quota.install(db)

        def reopen(damage: str) -> Database:
            again, saved = open_database(state, damage)
            quota.install(again)
            spool.recovered = saved or spool.recovered
            return again

        spool = cls(lock, DatabaseThread(db, reopen), quota, clock)
        spool.recovered = recovered
        count = spool._write(lambda db: runs.interrupt(db, clock.now())).result()
        if count:
            log.warning("runs were interrupted when the last process ended", runs=count)
        return spool

    def close(self) -> None:
        """Do everything that was submitted, then let the folder go. Blocks; twice is fine."""
        self._thread.close()
        self._lock.release()

    @property
    def folder(self) -> Path:
        """The state folder: for files that a cursor names."""
        return self._lock.folder

    @property
    def thread_id(self) -> int:
        """Of the thread that does the work, as the system counts threads."""
        return self._thread.thread_id

    @property
    def is_alive(self) -> bool:
        """Whether work that is submitted will be done."""
        return self._thread.is_alive

    @property
    def on_append(self) -> Callable[[str], None] | None:
        """Called in the spool's thread with a job's name when messages of it became visible."""
        return self._thread.on_append

    @on_append.setter
    def on_append(self, listener: Callable[[str], None] | None) -> None:
        self._thread.on_append = listener

    # ------------------------------------------------------------------------------ collecting

    def start_run(self, job: str, due: float, trigger: str, job_sha: str) -> Pending[int]:
        """A run begins; its id."""
        return self._write(lambda db: runs.start(db, job, due, trigger, job_sha, self._clock.now()))

    def end_run(
        self,
        run: int,
        *,
        state: Literal["done", "failed", "stopped"],
        reason: str = "",
        durable: bool = False,
    ) -> Pending[None]:
        """A run ends; its sums were kept by `append`. `stopped`: the agent ended; the next run goes on.

        `durable` for one about a window: with this its messages become visible and it counts as done.
        """
        submit = self._durably if durable else self._write
        return submit(lambda db: runs.end(db, run, state, reason, self._clock.now()))

    def forget_run(self, job: str, run: int) -> Pending[None]:
        """A run that a hint began and that found nothing to do: not worth a row."""
        return self._write(lambda db: runs.forget(db, job, run))

    def skip(self, job: str, due: float, trigger: str, reason: str) -> Pending[None]:
        """An occurrence that did not run, and why."""
        return self._write(lambda db: runs.skip(db, job, due, trigger, reason, self._clock.now()))

    def interrupted_runs(self, job: str, job_sha: str, *, goes_on: bool = False) -> Pending[int]:
        """How many of the last runs of this text of the job died with the process, in a row.

        `goes_on`: the job's runs go on where the last one ended; then one that spooled something is none.
        """
        return self._read(lambda db: runs.interrupted(db, job, job_sha, goes_on=goes_on))

    def job_sha_of_run(self, run: int) -> Pending[str | None]:
        """Which text of its job a run had; None when the run is no longer kept."""
        return self._read(lambda db: runs.job_sha(db, run))

    def state_of_run(self, run: int) -> Pending[str | None]:
        """How a run ended, or `collecting`; None when the run is no longer kept."""
        return self._read(lambda db: runs.state(db, run))

    def append(
        self,
        run: int,
        drafts: Sequence[Draft],
        *,
        cursor: Cursor | None = None,
        file: int | None = None,
        seed: str = "",
        layout: Layout = STRICT,
    ) -> Pending[list[str]]:
        """Messages, cursor and sums in one durable transaction; the new idempotency keys.

        `layout`: how the drafts were dealt out to their lanes. When it is another one than before, they
        leave only after what lies in the spool of their job.

        `seed` (see `agent.keys`) makes the keys repeatable: the same content gives the same keys. Without
        it, and for content whose messages of an earlier reading still wait, they are made by chance.
        Raises SpoolFull (nothing was appended) and LookupError for an unknown run or a file not open.
        """
        batch = tuple(drafts)
        by_chance = secrets.token_hex(16)  # one for all, so that their index entries lie side by side
        weight = sum(map(weight_of, batch))

        def work(db: Database) -> list[str]:
            now = self._clock.now()
            self.limits.check(db, run, batch)
            with self._making_room(db), self._quota.appending(db, weight):
                if seed:
                    keys = [key_of(seed, draft.first) for draft in batch]
                    with contextlib.suppress(sqlite3.IntegrityError), db.attempt():
                        queue.append(db, run, batch, keys, cursor, file, now, layout)
                        return keys
                    if keys and queue.has(db, run, keys[0]) and queue.has(db, run, keys[-1]):
                        return keys  # a commit that failed and yet was written; this is its repetition
                keys = [f"{by_chance}-{index}" for index in range(len(batch))]
                queue.append(db, run, batch, keys, cursor, file, now, layout)
            return keys

        return self._thread.submit(work, durable=True, weight=weight)

    @contextlib.contextmanager
    def _making_room(self, db: Database) -> Iterator[None]:
        """An append that finds no room lets old receipts go, if they are what takes it."""
        try:
            yield
        except SpoolFull:
            if prune.too_many_receipts(db, self.max_bytes):
                # After this piece, which is undone.
                self._write(lambda db: prune.make_room(db, self.max_bytes))
            raise

    # ------------------------------------------------------------------------------ delivering

    def lanes(self, job: str | None = None) -> Pending[list[tuple[str, int]]]:
        """(job, lane) of every lane that has something to send now; of one job, or of all."""
        return self._read(lambda db: queue.lanes(db, job))

    def oldest(
        self, job: str, lane: int, *, after: int = 0, limit: int = 64, max_bytes: int = 8_000_000
    ) -> Pending[list[Message]]:
        """The head of a lane, in order, behind the message `after`; one at least if there is any.

        Nothing while messages of an earlier layout of the job's lanes wait.

        `max_bytes` counts bodies as they lie in the spool. A message whose bytes were damaged on the
        disk is left out and becomes a dead letter (reason `damaged`).
        """

        def work(db: Database) -> list[Message]:
            found, damaged = queue.oldest(db, job, lane, after, limit, max_bytes)
            if damaged:
                self._durably(lambda db: settle.bury_damaged(db, damaged, self._clock.now()))
            return found

        return self._thread.submit(work, writes=False, regardless=True)

    def ack(self, message: Message, receipt: Receipt) -> Pending[None]:
        """Message → receipt. Again for the same message: no effect."""
        return self._thread.submit(lambda db: settle.ack(db, message, receipt), regardless=True)

    def bury(self, message: Message, letter: DeadLetter) -> Pending[None]:
        """Message → dead letter, durable. Again for the same message: no effect."""
        return self._durably(lambda db: settle.settle(db, message, (), (letter,)), weight=len(letter.body))

    def settle(
        self, message: Message, *, receipts: Sequence[Receipt], letters: Sequence[DeadLetter]
    ) -> Pending[None]:
        """A message that was split: its parts' receipts and dead letters, all in one step."""
        got, dead = tuple(receipts), tuple(letters)
        if not got and not dead:
            raise ValueError("a message leaves only as a receipt or as a dead letter")
        weight = sum(len(letter.body) for letter in dead)
        return self._thread.submit(
            lambda db: settle.settle(db, message, got, dead), durable=bool(dead), weight=weight
        )

    def note_attempt(self, message_id: int) -> Pending[None]:
        """One more attempt failed."""
        return self._write(lambda db: queue.note_attempt(db, message_id))

    # ------------------------------------------------------------------------------ housekeeping

    def used_bytes(self) -> Pending[int]:
        """Bytes of the database in use."""
        return self._read(self._quota.used)

    @property
    def max_bytes(self) -> int:
        """Where appends stop."""
        return self._quota.max_bytes
