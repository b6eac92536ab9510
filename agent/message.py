"""What lies in the spool between collect and deliver: plain values, no I/O.

Draft ──append──▶ Message ──ack──▶ Receipt
                     └────bury───▶ DeadLetter
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
Cursor: TypeAlias = "Mapping[str, JsonValue]"
"""How far a source was read; its keys belong to the kind of source. Stored as JSON."""


EXPIRED = "expired"
"""The reason of a dead letter that was too old to be sent."""
DAMAGED = "damaged"
"""The reason of a dead letter whose bytes changed on the disk: it cannot be sent any more."""
LANES = 1024
"""The most lanes of a job at one time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How the messages of a job are dealt out to lanes. Two layouts are the same when their names are."""

    name: str
    """For comparing, and for people."""
    lanes: int
    """From 1 to `LANES`."""


STRICT = Layout(name="strict", lanes=1)


def lane_number(lane: int) -> int:
    """The number of a lane within its layout, from 0, out of what lies in the spool (see `spool.layouts`)."""
    return lane % LANES


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """One HTTP request to make, before it is in the spool."""

    body: bytes
    """Gzipped (RFC 1952): as it lies in the spool, and as it leaves where the target takes gzip."""
    size: int
    """Bytes of the body before gzip."""
    records: int
    """Records in the body; 1 for a whole file."""
    content_type: str
    path: str | None = None
    """What the target's path template became for this record, percent-encoded; None: no template."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the target's header templates became for this record; never a secret."""
    lane: int = 0
    """Messages of one job and one lane stay in order. Of a draft: its number, below `Layout.lanes`."""
    as_of: float | None = None
    """When its youngest record was made (`expire.of`), wall clock seconds; None: when it is spooled."""
    origin: str = ""
    """Where it came from, for people: `positions.csv rows 1-500`."""
    record_keys: bytes = field(default=b"", repr=False)
    """Of its records (`receipt.keys`), as `agent.receipt_keys` packs them; b"" where there are none."""
    subject: str | None = None
    """Whose state it tells (`delivery.latest_by`): a newer one with the same takes its place."""
    first: int = 1
    """The row of its first record in its file, from 1: with the file, what its key is made of."""
    form: str = ""
    """How its records stand in the body (`parts.Form`); "" where it cannot be taken apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message(Draft):
    """A draft that is durable: it leaves the spool only as a receipt or as a dead letter."""

    id: int
    """Grows with every append: the order in which messages of a lane are sent. `lane` says its layout too."""
    job: str
    key: str
    """The idempotency key: made at append, never changed, sent as `Idempotency-Key`."""
    run: int
    file: int | None = None
    """The row of the source file whose content this is, or None."""
    spooled_at: float = 0.0
    attempts: int = 0
    """Attempts that failed so far (401 is not an attempt)."""
    progress: str = ""
    """What of it is to be sent yet (`parts.Progress`); `records` and `size` are then those of what is left.
    "": all of it."""
    place: int | None = None
    """Where it stood in the queue before it died and was sent again; None: it never died."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the target said, as it is kept. The body is cut at 4 KiB."""

    status: int | None
    """None when there was no answer at all."""
    reason: str
    """In one line, for people: `200 OK`, `connection refused`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What is kept of a delivered message, or of one that was superseded."""

    job: str
    lane: int
    key: str
    run: int
    records: int
    size: int
    origin: str
    spooled_at: float
    delivered_at: float
    attempts: int
    """All attempts, the good one included."""
    method: str
    url: str
    answer: Answer
    """Without a status: it was not sent at all, and its reason says why."""
    record_keys: bytes = field(default=b"", repr=False)
    """Of its records, on the way into the spool: `find` finds it by them. Not read back."""


def receipt_for(  # noqa: PLR0917 - the hot path of an ack
    message: Message, at: float, attempts: int, method: str, url: str, answer: Answer
) -> Receipt:
    """What is kept of this message when it leaves: `at` in wall clock seconds, all its `attempts`."""
    return Receipt(
        job=message.job,
        lane=message.lane,
        key=message.key,
        run=message.run,
        records=message.records,
        size=message.size,
        origin=message.origin,
        spooled_at=message.spooled_at,
        delivered_at=at,
        attempts=attempts,
        method=method,
        url=url,
        answer=answer,
        record_keys=message.record_keys,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message that the target refused for good, with the bytes sent and the answer."""

    id: int = 0
    job: str
    lane: int
    key: str
    run: int
    file: int | None = None
    records: int
    size: int
    origin: str
    spooled_at: float
    died_at: float
    attempts: int
    reason: str
    """One word for filters: `refused`, `misdirected`, `expired`, `bad record`, `damaged`."""
    method: str
    url: str
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """As sent, without `Authorization` and everything else the session added."""
    body: bytes = field(default=b"", repr=False)
    """Gzipped, as it lay in the spool; b"" where only the rest was asked for."""
    record_keys: bytes = field(default=b"", repr=False)
    """Of its records, on the way into the spool: `find` finds it by them. Not read back."""
    answer: Answer
    sendable: bool = True
    """Whether it once was a message, and can be one again."""
    edited_at: float | None = None
    """When somebody changed its body since it died; None: nobody did."""
