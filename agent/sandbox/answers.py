"""What is decided about a request, and how it becomes an HTTP answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from agent.sandbox.faults import Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is answered, and what the ledger is told about it."""

    status: int
    """0 when no answer is made at all."""
    document: object = None
    """Answered as JSON; None for no body."""
    body: bytes | None = None
    """Instead of `document`: exactly these bytes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    token: int | None = None
    """The serial of the token pair."""
    records: int | None = 0
    """None when nobody has counted yet."""
    processed: bool = False
    repeat: bool = False


def refuse(
    status: int, reason: str, *, headers: Mapping[str, str] | None = None, token: int | None = None
) -> Verdict:
    """An answer whose JSON body says why."""
    return Verdict(
        status=status, document={"error": reason}, headers=headers or {}, reason=reason, token=token
    )


def asked_for(fault: Fault) -> Verdict:
    """The answer of a fault; for a connection dropped before, one that nobody sees."""
    headers = dict(fault.headers)
    if fault.retry_after:
        headers["Retry-After"] = fault.retry_after
    return Verdict(
        status=fault.answer or 0,
        headers=headers,
        reason="a fault that was asked for",
        body=fault.body.encode(),
    )


def respond(verdict: Verdict) -> web.Response:
    """The verdict as HTTP."""
    status = verdict.status or 500
    if verdict.body is not None:
        headers = {"Content-Type": "text/plain; charset=utf-8", **verdict.headers}
        return web.Response(status=status, body=verdict.body, headers=headers)
    if verdict.document is None:
        return web.Response(status=status, headers=verdict.headers)
    text = json.dumps(verdict.document).encode()
    return web.Response(status=status, body=text, headers=verdict.headers, content_type="application/json")


def encoding_of(request: web.Request) -> str:
    """Its Content-Encoding in lower case; empty for none."""
    word = request.headers.get("Content-Encoding", "").strip().lower()
    return "" if word == "identity" else word
