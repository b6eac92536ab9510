"""Faults on demand: what a platform does on a bad day, asked for by name.

    {"on": "refresh", "answer": 503, "retry_after": "3", "times": 2}     two 503s, then as usual
    {"on": "refresh", "drop": "after", "times": 1}      rotated, but the answer never arrives
    {"on": "*", "delay": 0.02}                          20 ms on everything
    {"on": "planning", "hold": true, "times": 1}        no answer until the faults are taken away
    {"on": "ingest", "answer": 500, "rate": 0.05}       one in twenty, by seeded dice
    {"on": "ingest", "answer": 422, "containing": "NL-13"}   every body with this text in it

Of the faults that fit a request, the first one in the list is used.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from agent.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that goes wrong. Without `times` and `rate` it does so until it is taken away."""

    on: str
    """`login`, `refresh`, `token` (of OAuth), a target's name, `ingest/NAME`, `targets` (all of them) or
    `*` (everything)."""
    answer: int | None = None
    """The status to answer with, instead of processing the request."""
    processed: bool = False
    """With `answer`: process the request first and answer wrongly then, as a bad gateway does."""
    body: str = ""
    """Of that answer."""
    containing: str = ""
    """With `answer`, and for as long as it stands: only to bodies that hold this text."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of that answer."""
    retry_after: str = ""
    """Its `Retry-After`: seconds or an HTTP date, as it is."""
    delay: float = 0.0
    """Seconds to wait before anything else is done."""
    hold: bool = False
    """Wait until the faults are taken away before anything else is done: longer than any delay."""
    drop: Literal["", "before", "after"] = ""
    """Drop the connection without an answer: before the request was processed, or after."""
    skip: int = 0
    """Let so many requests pass first."""
    times: int | None = None
    """How often; None for no end."""
    rate: float | None = None
    """With which likelihood (0 to 1); None for always."""


class Faults:
    """The list that is in force, and how often each was used."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._cleared = asyncio.Event()
        self.clear()

    def clear(self) -> None:
        """Everything works again, what was held goes on; the dice start anew."""
        self._active: list[_Active] = []
        self._cleared.set()
        self._cleared = asyncio.Event()
        self._dice = random.Random(self._seed)  # noqa: S311 - repeatable, not secret

    def add(self, faults: Sequence[Fault]) -> None:
        """Append to the list."""
        self._active += [_Active(fault, fault.skip, fault.times) for fault in faults]

    def next_for(self, endpoint: str, *, target: bool) -> Fault | None:
        """The fault that this request meets, if any; uses it up by one."""
        for active in self._active:
            if active.fault.containing:
                continue
            if active.fits(endpoint, target=target) and active.strikes(self._dice):
                return active.fault
        return None

    def of_bodies(self, endpoint: str, *, target: bool) -> list[Fault]:
        """Those that strike bodies with a text in them; they are never used up."""
        active = [one for one in self._active if one.fault.containing]
        return [one.fault for one in active if one.fits(endpoint, target=target)]

    async def cleared(self) -> None:
        """Wait until the faults of now are taken away."""
        await self._cleared.wait()

    def shown(self) -> list[dict[str, object]]:
        """For people: each fault with what is `left` of it and how often it `struck`."""
        return [
            {**asdict(active.fault), "left": active.left, "struck": active.struck} for active in self._active
        ]


@dataclass(slots=True)
class _Active:
    fault: Fault
    skip: int
    left: int | None
    struck: int = 0

    def fits(self, endpoint: str, *, target: bool) -> bool:
        on = self.fault.on
        return on in ("*", endpoint) or (on == "targets" and target) or endpoint.startswith(on + "/")

    def strikes(self, dice: random.Random) -> bool:
        if self.left == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.fault.rate is not None and dice.random() >= self.fault.rate:
            return False
        self.left = None if self.left is None else self.left - 1
        self.struck += 1
        return True


_TYPES: dict[str, tuple[type, ...]] = {
    "on": (str,),
    "answer": (int,),
    "processed": (bool,),
    "body": (str, dict, list),
    "containing": (str,),
    "headers": (dict,),
    "retry_after": (str, int, float),
    "delay": (int, float),
    "hold": (bool,),
    "drop": (str,),
    "skip": (int,),
    "times": (int,),
    "rate": (int, float),
}


def parse_faults(document: object) -> list[Fault]:
    """Faults from JSON: one object or a list of them. UsageError says what is wrong with which."""
    items = document if isinstance(document, list) else [document]
    return [_parse(item, f"fault {number}") for number, item in enumerate(items, 1)]


def _parse(item: object, where: str) -> Fault:
    if not isinstance(item, dict) or "on" not in item:
        raise UsageError(f"{where}: an object with `on` is needed")
    known = [one.name for one in fields(Fault)]
    values: dict[str, object] = {key: value for key, value in item.items() if value is not None}
    for key, value in values.items():
        if key not in _TYPES:
            raise UsageError(f"{where}: unknown key '{key}'", hint="known: " + ", ".join(known))
        odd_bool = isinstance(value, bool) and bool not in _TYPES[key]
        if odd_bool or not isinstance(value, _TYPES[key]):
            raise UsageError(f"{where}: {key} must not be a {type(value).__name__}")
    headers = item.get("headers") or {}
    texts: list[object] = [*headers, *headers.values(), str(item.get("retry_after"))]
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise UsageError(f"{where}: headers must be texts without line breaks")
    if "body" in values and not isinstance(values["body"], str):
        values["body"] = json.dumps(values["body"])
    if "retry_after" in values:
        values["retry_after"] = str(values["retry_after"])
    fault = Fault(**values)  # type: ignore[arg-type] # each was checked against _TYPES above
    return _sensible(fault, where)


def _sensible(fault: Fault, where: str) -> Fault:
    if fault.answer is not None and not 200 <= fault.answer <= 599:  # noqa: PLR2004 - RFC 9110, 15
        raise UsageError(f"{where}: answer must be from 200 to 599")
    if fault.drop not in ("", "before", "after"):
        raise UsageError(f"{where}: drop must be before or after")
    if fault.drop and fault.answer is not None:
        raise UsageError(f"{where}: either answer or drop")
    lasting = fault.times is None and fault.rate is None and not fault.skip and not fault.hold
    if fault.containing and (fault.answer is None or not lasting or fault.delay):
        raise UsageError(f"{where}: containing needs an answer, and stands with body and headers only")
    if fault.answer is None and not fault.drop and not fault.delay and not fault.hold:
        raise UsageError(f"{where}: one of answer, drop, delay and hold is needed")
    if fault.rate is not None and not 0 <= fault.rate <= 1:
        raise UsageError(f"{where}: rate must be from 0 to 1")
    if fault.delay < 0 or fault.skip < 0 or (fault.times or 0) < 0:
        raise UsageError(f"{where}: delay, skip and times must not be negative")
    return fault
