"""Rows of the database as values, for all who read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from agent.message import DAMAGED, Answer, DeadLetter, Receipt
from agent.session_row import SessionRow
from agent.spool.database import Value
from agent.spool.look import headers_of
from agent.spool.values import BackfillRow, ConfigRow, FileRow, Fit, RunRow, WindowMark
from agent.trace import LaneWait

RowDict: TypeAlias = "Mapping[str, Value]"


def _answer(row: RowDict) -> Answer:
    return Answer(
        status=row["status"],  # type: ignore[arg-type]
        reason=str(row["answer"]),
        headers=headers_of(row["answer_headers"]),
        body=str(row["answer_body"]),
    )


_ANSWER = ("status", "answer", "answer_headers", "answer_body")


def receipt_of(row: RowDict) -> Receipt:
    """A row of `receipts`."""
    plain = {name: value for name, value in row.items() if name not in {"id", "message", *_ANSWER}}
    return Receipt(**plain, answer=_answer(row))  # type: ignore[arg-type]


def letter_of(row: RowDict) -> DeadLetter:
    """A row of `dead`."""
    left_out = {"path", "draft_headers", "form", "place", "headers", "record_keys", *_ANSWER}
    plain = {name: value for name, value in row.items() if name not in left_out}
    return DeadLetter(
        **plain,  # type: ignore[arg-type]
        headers=headers_of(row["headers"]),
        answer=_answer(row),
        sendable=row["draft_headers"] is not None and row["reason"] != DAMAGED,
    )


def run_of(row: RowDict) -> RunRow:
    """A row of `runs`."""
    plain = {name: value for name, value in row.items() if name not in {"held", "cursor"}}
    return RunRow(**plain)  # type: ignore[arg-type]


def mark_of(row: RowDict) -> WindowMark:
    """A row of `windows`."""
    return WindowMark(**row)  # type: ignore[arg-type]


def backfill_of(row: RowDict) -> BackfillRow:
    """A row of `backfills`."""
    return BackfillRow(**row)  # type: ignore[arg-type]


def file_of(row: RowDict) -> FileRow:
    """A row of `files`, without its counters."""
    left_out = {"waiting", "waiting_records", "waiting_bytes", "delivered", "dead", "device", "inode"}
    plain = {name: value for name, value in row.items() if name not in left_out}
    numbers = {"device": int(str(row["device"])), "inode": int(str(row["inode"]))}
    return FileRow(**plain, **numbers)  # type: ignore[arg-type]


def wait_of(row: RowDict) -> LaneWait:
    """A row of `waits`."""
    return LaneWait(**row)  # type: ignore[arg-type]


def session_of(row: RowDict) -> SessionRow:
    """A row of `sessions`."""
    return SessionRow(**row)  # type: ignore[arg-type]


def fit_of(row: RowDict) -> Fit:
    """A row of `fits`."""
    return Fit(**row)  # type: ignore[arg-type]


def config_of(row: RowDict) -> ConfigRow:
    """A row of `configs`."""
    return ConfigRow(**{**row, "deleted": bool(row["deleted"])})  # type: ignore[arg-type]
