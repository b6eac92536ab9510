"""What a person asks of dead letters: the same in the daemon and, where none runs, in the command itself.

    {"action": "retry", "ids": […], "weight": bytes}     {"jobs": {job: letters}, "daemon": bool,
                                                          "unknown": [jobs],
                                                          "refused": [{"id": …, "reason": …}]}
    {"action": "drop", "ids": […]}                       {"jobs": {job: letters}}
    {"action": "edit", "id": …, "body": base64,          {"id": …, "key": …}
     "size": …, "records": …, "was": sha256}
    {"action": "undo", "id": …}                          {"id": …, "key": …}

Which letters those are, whoever asks looks up himself, read-only: so that a hundred thousand of them come
in pieces, between which deliveries go on.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from agent.errors import AgentError
from agent.logs import get_log
from agent.message import JsonValue
from agent.spool import Spool

log = get_log("letters")

MOST = 500
"""Letters in one question: some ms of the spool's time."""
MOST_WEIGHT = 8_000_000
"""Bytes of bodies in one question; one letter may be heavier."""
MOST_BODY = 64_000_000
"""Bytes of an edited body, gzipped."""

JsonObject: TypeAlias = "dict[str, JsonValue]"


class LettersByHand:
    """Does it. `jobs`: those that the daemon has; letters of others wait until their job is back.

    None: no daemon runs, so that all of them wait.
    """

    def __init__(self, spool: Spool, jobs: Callable[[], Collection[str]] | None = None) -> None:
        self._spool = spool
        self._jobs = jobs

    async def answer(self, arguments: Mapping[str, JsonValue]) -> JsonObject:
        """Raises AgentError for what makes no sense or cannot be done, StateError."""
        match arguments.get("action"):
            case "retry":
                return await self._retry(_ids(arguments), _number(arguments, "weight", 0))
            case "drop":
                return await self._drop(_ids(arguments))
            case "edit":
                return await self._edit(_number(arguments, "id"), arguments)
            case "undo":
                return await self._undo(_number(arguments, "id"))
            case action:
                raise AgentError(f"dead knows no {action!r}", hint="it knows retry, drop, edit, undo")

    async def _retry(self, ids: list[int], weight: int) -> JsonObject:
        revived = await self._spool.revive_all(ids, weight=weight)
        if revived.jobs:
            log.info("dead letters are sent again, by hand", letters=dict(revived.jobs))
        known = revived.jobs if self._jobs is None else self._jobs()
        return {
            "jobs": dict(revived.jobs),
            "daemon": self._jobs is not None,
            "unknown": [job for job in revived.jobs if job not in known],
            "refused": [{"id": letter, "reason": why} for letter, why in revived.refused],
        }

    async def _drop(self, ids: list[int]) -> JsonObject:
        jobs = await self._spool.drop_all(ids)
        if jobs:
            log.info("dead letters are dropped, by hand", letters=dict(jobs))
        return {"jobs": dict(jobs)}

    async def _edit(self, letter: int, arguments: Mapping[str, JsonValue]) -> JsonObject:
        try:
            body = base64.b64decode(str(arguments.get("body")), validate=True)
        except ValueError:
            raise AgentError("the body is no base64") from None
        if len(body) > MOST_BODY:
            raise AgentError(f"the body is longer than {MOST_BODY // 1_000_000} MB, gzipped")
        size, records = _number(arguments, "size"), _number(arguments, "records")
        was = str(arguments.get("was"))
        try:
            key = await self._spool.edit_letter(letter, body, size=size, records=records, was=was)
        except LookupError as error:
            raise AgentError(str(error), hint="push-agent dead list shows all") from None
        log.info("a dead letter was edited, by hand", letter=letter, key=key)
        return {"id": letter, "key": key}

    async def _undo(self, letter: int) -> JsonObject:
        try:
            key = await self._spool.undo_edit(letter)
        except LookupError as error:
            raise AgentError(str(error), hint="push-agent dead list shows all") from None
        log.info("a dead letter is as it died again, by hand", letter=letter, key=key)
        return {"id": letter, "key": key}


def _ids(arguments: Mapping[str, JsonValue]) -> list[int]:
    ids = arguments.get("ids")
    if not isinstance(ids, list) or len(ids) > MOST:
        raise AgentError(f"dead wants a list of at most {MOST} ids")
    found = [each for each in ids if isinstance(each, int) and not isinstance(each, bool)]
    if len(found) != len(ids):
        raise AgentError("the ids of dead letters are whole numbers")
    return found


def _number(arguments: Mapping[str, JsonValue], name: str, default: int | None = None) -> int:
    value = arguments.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise AgentError(f"dead wants a whole number as {name}")
    return value
