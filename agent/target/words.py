"""What a target said, as it may be shown to a person or kept."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote

from agent.logs import BLOT, blotter
from agent.message import Answer
from agent.request import Request

_LEAST = 8
"""Characters: less of a token at the end of a text that was cut is nothing to go by."""


def printable(text: str) -> str:
    """Control characters, line separators and lone surrogates as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(body: bytes) -> str:
    """An answer's body for people: UTF-8 where it is, lines kept, everything else that controls escaped."""
    if not body:
        return ""
    text = body.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(printable(line) for line in lines)


def blotted(answer: Answer, request: Request) -> Answer:
    """The answer without what the request was signed with: some servers repeat what they refuse."""
    texts = [answer.reason, answer.body, *answer.headers.values()]
    if max(map(len, texts)) < _LEAST and not answer.headers:
        return answer
    hidden = {name.lower() for name in request.secret_headers}
    values = [value for name, value in request.headers.items() if name.lower() in hidden]
    signed = [form for value in values for form in (value.rpartition(" ")[2], value)]
    return replace(
        answer,
        reason=_without(answer.reason, signed),
        body=_without(answer.body, signed),
        headers={name: _without(value, signed) for name, value in answer.headers.items()},
    )


def _without(text: str, secrets: Iterable[str]) -> str:
    if len(text) < _LEAST:
        return text
    for secret in secrets:
        for form in _forms(secret):
            if form[:_LEAST] in text:
                text = _without_end(text.replace(form, BLOT), form)
    return blotter.clean(text)


@lru_cache(maxsize=16)
def _forms(secret: str) -> tuple[str, ...]:
    """How a server may write what it was sent, the longest first."""
    raw = secret.encode()
    encoded = [b64encode(raw).decode().rstrip("="), raw.hex()] if len(secret) >= _LEAST else []
    quoted = [quote(secret, safe=""), quote(secret), secret.replace("/", "\\/"), json.dumps(secret)[1:-1]]
    return tuple(sorted({secret, *quoted, *encoded}, key=lambda form: (-len(form), form)))


def _without_end(text: str, secret: str) -> str:
    """Also without the first part of it, where the text was cut in the middle of it."""
    for length in range(min(len(secret) - 1, len(text)), _LEAST - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + BLOT
    return text
