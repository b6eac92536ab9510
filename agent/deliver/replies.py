"""What a success says of each record (`target.reply`). Pure.

    {"results": [{"status": 201}, {"status": 422, "error": "no such trip"}, {"status": 429}]}
                  └ taken          └ refused, in these words                 └ to be sent again

An answer that cannot be matched to the records says nothing of any of them: it is never guessed at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.auth.pointer import pick
from agent.config.model import Reply, Told

_WORDS = 300
"""Characters of a record's refusal that are told in one line."""
_NOTHING: tuple[object, ...] = (None, False, "", [], {})


class UnreadableReplyError(ValueError):
    """The answer does not say what became of each record; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Numbers of records, in order."""

    good: tuple[int, ...]
    bad: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """With the words in one line, and what the answer said of it as JSON text."""
    again: Mapping[int, str] = field(default_factory=dict)
    """With the words."""


def judge(
    reply: Reply, said: bytes | None, numbers: Sequence[int], text_of: Callable[[int], bytes]
) -> Verdict:
    """What became of the records with these numbers; `said` is None when the answer was too long to be read.

    `text_of` gives a record as it was sent. Raises UnreadableReplyError.
    """
    items = _items(reply, said)
    of = (
        _by_position(reply, items, numbers)
        if reply.match != "key"
        else _by_key(reply, items, numbers, text_of)
    )
    if reply.listed == "all" and len(of) < len(numbers):
        missing = len(numbers) - len(of)
        raise UnreadableReplyError(f"it says nothing of {missing} of {len(numbers)} records")
    good, bad, again = [], {}, {}
    for number in numbers:
        if number not in of:
            good.append(number)
            continue
        item = of[number]
        if _is(reply.retry, item):
            again[number] = _words(reply, item)
        elif _failed(reply, item):
            bad[number] = (_words(reply, item), json.dumps(item, ensure_ascii=False))
        else:
            good.append(number)
    return Verdict(good=tuple(good), bad=bad, again=again)


def _items(reply: Reply, said: bytes | None) -> list[object]:
    if said is None:
        raise UnreadableReplyError("the answer is too long to be read")
    if not said.strip() and reply.listed == "errors":
        return []
    try:
        document = json.loads(said)
    except (ValueError, RecursionError):
        raise UnreadableReplyError("the answer is no JSON") from None
    items = document if reply.items == "" else pick(document, reply.items)
    if items is None and reply.listed == "errors":
        return []
    if not isinstance(items, list):
        where = f"at {reply.items} of" if reply.items else "as"
        raise UnreadableReplyError(f"there is no list {where} the answer")
    return items


def _by_position(reply: Reply, items: list[object], numbers: Sequence[int]) -> dict[int, object]:
    if reply.match == "position":
        if len(items) != len(numbers):
            raise UnreadableReplyError(f"it has {len(items)} results for {len(numbers)} records")
        return dict(zip(numbers, items, strict=True))
    found: dict[int, object] = {}
    for item in items:
        at = pick(item, reply.key)
        if isinstance(at, str) and at.isdecimal():
            at = int(at)
        if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < len(numbers):
            raise UnreadableReplyError(f"a result is of no record: {_short(at)} at {reply.key}")
        if numbers[at] in found:
            raise UnreadableReplyError(f"two results are of one record: {at} at {reply.key}")
        found[numbers[at]] = item
    return found


def _by_key(
    reply: Reply, items: list[object], numbers: Sequence[int], text_of: Callable[[int], bytes]
) -> dict[int, object]:
    """The n-th result with a key is of the n-th record with it, where there are as many of both."""
    records: dict[str, list[int]] = {}
    for number in numbers:
        try:
            record = json.loads(text_of(number))
        except (ValueError, RecursionError):  # of before, when the job's bodies were no JSON
            raise UnreadableReplyError(f"record {number} is no JSON that a key could be in") from None
        records.setdefault(_text(pick(record, reply.record)), []).append(number)
    results: dict[str, list[object]] = {}
    for item in items:
        results.setdefault(_text(pick(item, reply.key)), []).append(item)
    found: dict[int, object] = {}
    for key, of_key in results.items():
        mine = records.get(key, [])
        if len(mine) != len(of_key):
            raise UnreadableReplyError(
                f"it has {len(of_key)} results for {len(mine)} records with the key {_short(key)}"
            )
        found.update(zip(mine, of_key, strict=True))
    return found


def _is(told: Told | None, item: object) -> bool:
    return told is not None and _text(pick(item, told.at)) in told.values


def _failed(reply: Reply, item: object) -> bool:
    if reply.ok is not None:
        return not _is(reply.ok, item)
    if reply.error:
        return pick(item, reply.error) not in _NOTHING
    return True  # `listed: errors`


def _words(reply: Reply, item: object) -> str:
    said = pick(item, reply.error) if reply.error else None
    text = (
        said if isinstance(said, str) else json.dumps(item if said in _NOTHING else said, ensure_ascii=False)
    )
    return " ".join(text.split())[:_WORDS]


def _text(value: object) -> str:
    """As it is compared: 429 is "429"."""
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: object) -> str:
    return _text(value)[:80]
