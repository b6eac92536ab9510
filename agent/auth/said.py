"""What an Auth API says in its answers, as it may be shown: nothing secret, nothing long, one line. Pure.

The errors of RFC 6749, section 5.2, have a hint each.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from agent.logs import BLOT

MAX_WORDS = 200
"""Characters of the server's own words that are shown."""

HINTS: Final[Mapping[str, str]] = {
    "invalid_client": "check `client.id` and its secret, and whether the server wants `client.send: body`",
    "unauthorized_client": "the server must allow this client to sign in like this: ask whoever runs it",
    "unsupported_grant_type": "the server does not know this way to sign in: take another type",
    "invalid_scope": "check `auth.scope`: the server does not know it, or does not give it to this client",
    "invalid_request": "the server misses a field or does not want one: check `auth.extra` and `auth.fields`",
}
"""What to do about each error word of RFC 6749, section 5.2; about `invalid_grant` each grant has its own."""

_WORD = re.compile(r"[!#-\[\]-~]{1,64}")  # NQSCHAR of the RFC, without spaces
_JWT = re.compile(r"eyJ[\w.~+/=-]{8,}")
# A pair in an answer that is no good one: what stands behind `…_token`, in JSON or in a form.
_TOKEN = re.compile(r"""(?i)(\b\w*_token\b[\\"']*\s*[:=]\s*[\\"']*)[^\s"'\\&,}]+""")
_BEARER = re.compile(r"(?i)(\bbearer\s+)[\w.~+/=-]{8,}")
LEAST_SECRET = 6
"""Characters: shorter values would be found in ordinary words."""
_LOOKED_AT = 8192
"""Characters of an answer that are searched for secrets: a page of a megabyte would hold the event loop."""


def error_word(answer: object) -> str:
    """`error` of an answer when it is a word; else nothing."""
    word = answer.get("error") if isinstance(answer, dict) else None
    return word if isinstance(word, str) and _WORD.fullmatch(word) else ""


def words_of(body: bytes, hidden: Collection[str]) -> tuple[str, str]:
    """The error word of an error answer, and what it says, as `: …` or nothing."""
    try:
        answer = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and (text := explained(answer, hidden)):
        return error_word(answer), text
    return "", _shown(body.decode("utf-8", "replace"), hidden)


def explained(answer: Mapping[str, object], hidden: Collection[str]) -> str:
    """`error`, `error_description` and `error_uri` (RFC 6749, section 5.2)."""
    text = " - ".join(str(words) for words in (answer.get("error"), answer.get("error_description")) if words)
    uri = answer.get("error_uri")
    return _shown(f"{text} (see {uri})" if text and isinstance(uri, str) and uri else text, hidden)


def _shown(text: str, hidden: Collection[str]) -> str:
    short = line(text, hidden)
    return f": {short}" if short else ""


def line(text: str, hidden: Collection[str]) -> str:
    """One short line without anything hidden."""
    # Blotted before it is cut: half a secret at the end would not be found any more.
    reach = max([64, *(len(way) for value in hidden for way in _ways(value))])
    whole = len(text) <= _LOOKED_AT + reach
    clean = blot(text, hidden) if whole else blot(text[: _LOOKED_AT + reach], hidden)[:-reach]
    printable = "".join(c if c.isprintable() else " " for c in clean)
    return " ".join(printable[: MAX_WORDS * 4].split())[:MAX_WORDS]


def blot(text: str, hidden: Collection[str]) -> str:
    """The text without any hidden value, however encoded, and without what looks like a token."""
    for value in sorted(filter(None, hidden), key=len, reverse=True):
        for way in _ways(value):
            text = text.replace(way, BLOT)
    return _JWT.sub(BLOT, _BEARER.sub(rf"\1{BLOT}", _TOKEN.sub(rf"\1{BLOT}", text)))


def _ways(value: str) -> set[str]:
    """How a server may write what it was sent."""
    ways = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
    ways |= {html.escape(value), html.escape(value, quote=False), value.replace("/", "\\/")}
    if len(value) >= LEAST_SECRET:
        ways |= {b64encode(value.encode()).decode().rstrip("="), value.encode().hex()}
    return ways
