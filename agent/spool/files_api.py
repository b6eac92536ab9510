"""Source files, as `Spool` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent.message import Cursor, DeadLetter
from agent.spool import files
from agent.spool.desk import Desk
from agent.spool.pending import Pending
from agent.spool.values import FileRow, SettledFile
from agent.stamp import FileStamp


class FilesApi(Desk):
    """Which source files were met, and how far they are. States: see `agent.spool.files`."""

    def file_by_stamp(self, job: str, stamp: FileStamp) -> Pending[FileRow | None]:
        """The newest row of a file that was not touched since: known and unchanged."""
        return self._read(lambda db: files.by_stamp(db, job, stamp))

    def files_by_stamps(self, job: str, stamps: Sequence[FileStamp]) -> Pending[list[FileRow | None]]:
        """The same for many files, in one trip. An ack waits as long: give some hundreds at once."""
        return self._read(lambda db: [files.by_stamp(db, job, stamp) for stamp in stamps])

    def files_by_content(self, job: str, sha256: str) -> Pending[list[FileRow]]:
        """The last 50 rows with this content that are no duplicates, newest first."""
        return self._read(lambda db: files.by_content(db, job, sha256))

    def files_by_path(self, job: str, path: str, *, duplicates: bool = True) -> Pending[list[FileRow]]:
        """The last 50 rows of this path, newest first; with or without duplicates."""
        return self._read(lambda db: files.by_path(db, job, path, duplicates=duplicates))

    def open_files(self, job: str) -> Pending[list[FileRow]]:
        """Rows that are neither released nor given up: what is being read, or died in the middle of it."""
        return self._read(lambda db: files.open_rows(db, job))

    def open_file(self, job: str, run: int, stamp: FileStamp, sha256: str, *, hold: bool) -> Pending[int]:
        """The row to append to; hold: no lane sees its messages until `release_file`.

        A row of the job with this content that a crash left open is taken up again, as it was opened.
        """
        return self._durably(
            lambda db: files.open_file(db, job, run, stamp, sha256, hold=hold, now=self._clock.now())
        )

    def release_file(self, file: int, *, cursor: Cursor | None = None) -> Pending[None]:
        """All of it is in the spool, durably, and the job's cursor moves with it, in one transaction.

        Raises LookupError for a file that was given up.
        """
        return self._durably(lambda db: files.release(db, file, cursor, self._clock.now()))

    def forget_file(self, file: int) -> Pending[None]:
        """Nothing of it waits and nobody can meet it again: its row goes. One that is open stays."""
        return self._write(lambda db: files.forget(db, file))

    def abandon_file(self, file: int, reason: str, *, cursor: Cursor | None = None) -> Pending[None]:
        """Nothing more of it is sent; held messages go, which no lane ever saw."""
        return self._durably(lambda db: files.abandon(db, file, reason, cursor, self._clock.now()))

    def note_file(  # noqa: PLR0917
        self,
        job: str,
        run: int,
        stamp: FileStamp,
        sha256: str,
        state: Literal["duplicate", "failed"],
        reason: str,
    ) -> Pending[int]:
        """A file from which nothing is sent, and why."""
        return self._durably(
            lambda db: files.note(db, job, run, stamp, sha256, state, reason, self._clock.now())
        )

    def settled_files(self) -> Pending[list[SettledFile]]:
        """Files none of whose messages waits any more and that are not finished, oldest first."""
        return self._read(files.settled)

    def letters_of_file(self, file: int, limit: int) -> Pending[list[DeadLetter]]:
        """The first dead letters that came from it, with their bodies."""
        return self._read(lambda db: files.letters(db, file, limit))

    def finish_file(
        self, file: int, *, state: Literal["done", "failed"], moved_to: str | None, reason: str = ""
    ) -> Pending[None]:
        """The file was moved, or stays where it is for good. Raises LookupError."""
        return self._write(lambda db: files.finish(db, file, state, moved_to, reason, self._clock.now()))
