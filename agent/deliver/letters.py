"""What is kept of a message that has left: a receipt or a dead letter. Pure."""

from __future__ import annotations

from agent.message import Answer, DeadLetter, Message, Receipt, receipt_for
from agent.request import Request, kept


def receipt_of(message: Message, request: Request, answer: Answer, *, at: float, failures: int) -> Receipt:
    """Of a delivered message. `failures` are those of this process that the message does not know of."""
    attempts = message.attempts + failures + 1
    return receipt_for(message, at, attempts, request.method, request.url, answer)


def letter_of(
    message: Message, request: Request, answer: Answer, *, reason: str, at: float, failures: int
) -> DeadLetter:
    """Of a refused one, with the request as it was sent but for what the session added to it."""
    headers = kept(request)
    return DeadLetter(
        job=message.job,
        lane=message.lane,
        key=message.key,
        run=message.run,
        file=message.file,
        records=message.records,
        size=message.size,
        origin=message.origin,
        spooled_at=message.spooled_at,
        died_at=at,
        attempts=message.attempts + failures + 1,
        reason=reason,
        method=request.method,
        url=request.url,
        content_type=headers.get("Content-Type", message.content_type),
        headers=headers,
        body=message.body,
        record_keys=message.record_keys,
        answer=answer,
    )


def unsendable(message: Message, *, method: str, url: str) -> Request:
    """Stands for the request of a message that no request could be made of."""
    return Request(method=method, url=url, headers={}, body=message.body, gzip=True)
