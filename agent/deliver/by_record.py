"""A success that speaks of each record: what becomes of a part by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.config.model import Reply
from agent.deliver.hand import Hand
from agent.deliver.letters import letter_of, receipt_of
from agent.deliver.replies import UnreadableReplyError, Verdict, judge
from agent.message import Answer, DeadLetter, Receipt
from agent.parts import Piece, numbers, ranges
from agent.request import Request
from agent.target import KEEP_LIMIT
from agent.target.words import blotted, printable

_INLINE = 65_536
"""Bytes of an answer that is read on the event loop."""
_MANY = 1_000
"""Records that are looked up off the event loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Became:
    """What a part has become."""

    receipts: Sequence[Receipt]
    letters: Sequence[DeadLetter]
    again: Piece
    """To be sent again; () for nothing."""
    why: str
    """It is."""
    held: bool = False
    """Some of `again` was refused, and is not to be set aside."""


async def became(
    reply: Reply,
    hand: Hand,
    request: Request,
    answer: Answer,
    said: bytes | None,
    *,
    at: float,
    failures: int,
    hold: bool,
) -> Became:
    """`hold`: what is refused stays. Raises UnreadableReplyError; then nothing is known of any record."""
    apart = await hand.divisible()
    if hand.part.records > 1 and not apart:
        raise UnreadableReplyError("the batch cannot be taken apart")
    try:
        verdict = await _judged(reply, hand, said)
    except UnreadableReplyError as error:  # what it quotes is the target's
        raise UnreadableReplyError(_blotted(answer, printable(str(error)), request)) from None
    receipts: list[Receipt] = []
    if verdict.good:
        part = hand.part
        if len(verdict.good) < part.records:
            good = ranges(verdict.good)
            part = replace(part, records=len(verdict.good), size=hand.size(good))
        receipts.append(receipt_of(part, request, answer, at=at, failures=failures))
    if hold and verdict.bad:
        words = {number: told for number, (told, _) in verdict.bad.items()}
        verdict = replace(verdict, bad={}, again=words | dict(verdict.again))
    else:
        hold = False
    alone = [hand.part] if hand.part.records == 1 else await hand.each(verdict.bad)
    letters = []
    for one, told in zip(alone, verdict.bad.values(), strict=False):
        own = _of_record(answer, told, request)
        letters.append(letter_of(one, request, own, reason="refused", at=at, failures=failures))
    again = ranges(verdict.again)
    why = ""
    if again:
        first = printable(next(iter(verdict.again.values())))
        what = "refused" if hold else "to be sent again"
        why = f"{answer.reason}, but of {hand.part.records} records {len(verdict.again)} are {what}: {first}"
    return Became(
        receipts=receipts, letters=letters, again=again, why=_blotted(answer, why, request), held=hold
    )


async def _judged(reply: Reply, hand: Hand, said: bytes | None) -> Verdict:
    records = numbers(hand.records)
    if len(said or b"") <= _INLINE and len(records) < _MANY:
        return judge(reply, said, records, hand.record)
    return await asyncio.to_thread(judge, reply, said, records, hand.record)


def _of_record(answer: Answer, told: tuple[str, str], request: Request) -> Answer:
    """What the target said of one record."""
    words, item = told
    reason = f"{answer.reason}, but of this record: {printable(words)}"
    body = item[:KEEP_LIMIT]
    return blotted(replace(answer, reason=reason, body="\n".join(map(printable, body.split("\n")))), request)


def _blotted(answer: Answer, text: str, request: Request) -> str:
    return blotted(replace(answer, reason=text, body="", headers={}), request).reason
