"""What is kept of messages that have left, as `Spool` shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from agent.logs import get_log
from agent.message import Message
from agent.spool import prune, supersede
from agent.spool.database import Database
from agent.spool.desk import Desk
from agent.spool.pending import Pending

log = get_log("spool")


class ReceiptsApi(Desk):
    """Receipts, and messages whose place a newer one took."""

    def supersede(self, messages: Sequence[Message], *, failures: int = 0) -> Pending[list[int]]:
        """Those of them leave behind which a newer one with the same subject can be sent; their ids.

        In one transaction, each with a receipt that says so. `failures` are attempts that the first one does
        not know of. Again for the same messages: no effect.
        """
        waiting = tuple(messages)
        return self._write(lambda db: supersede.supersede(db, waiting, self._clock.now(), failures))

    def prune(self, receipts_keep: timedelta, receipts_max_bytes: int | None = None) -> Pending[int]:
        """Forget older receipts, the oldest beyond a size, and runs beyond the last 1,000 of a job.

        How many rows went. In small pieces with other work between them; the pending is done when the last
        piece is.
        """
        before = self._clock.now() - receipts_keep.total_seconds()
        done: Pending[int] = Pending()

        def smaller(old: Pending[int]) -> None:
            if receipts_max_bytes is None or old.exception() is not None:
                _copy(old, done)
                return
            large = self._in_pieces(lambda db: prune.prune_to(db, receipts_max_bytes), old.result())
            large.add_done_callback(lambda _: ended(large, old.result()))

        def ended(large: Pending[int], old: int) -> None:
            if large.exception() is None and (early := large.result() - old):
                log.info("receipts went before their time: receipts.max_bytes", receipts=early)
            _copy(large, done)

        old = self._in_pieces(lambda db: prune.prune(db, before), 0)
        old.add_done_callback(lambda _: smaller(old))
        return done

    def _in_pieces(self, work: Callable[[Database], tuple[int, bool]], before: int) -> Pending[int]:
        """Again and again, with other work between, until nothing is left; the sum of what it did."""
        done: Pending[int] = Pending()

        def step(sum_: int) -> None:
            piece = self._write(work)
            piece.add_done_callback(lambda _: go_on(piece, sum_))

        def go_on(piece: Pending[tuple[int, bool]], sum_: int) -> None:
            error = piece.exception()
            if error is not None:
                done.set_exception(error)
                return
            rows, more = piece.result()
            if more:
                step(sum_ + rows)
            else:
                done.set_result(sum_ + rows)

        step(before)
        return done


def _copy(one: Pending[int], other: Pending[int]) -> None:
    error = one.exception()
    if error is None:
        other.set_result(one.result())
    else:
        other.set_exception(error)
