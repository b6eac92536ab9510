"""An OAuth 2.0 token endpoint (RFC 6749) beside the platform's own dialect.

    password · client_credentials · refresh_token       the client by a Basic header or in the body

Refresh tokens rotate. One that is shown a second time is taken for stolen: all that came of the same login
is revoked, as servers with reuse detection do.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web

from agent.sandbox.answers import Verdict, encoding_of
from agent.sandbox.settings import Settings
from agent.sandbox.signin import FORM
from agent.sandbox.tokens import Issuer, Pair


class _Wrong(Exception):
    """An error of RFC 6749, section 5.2."""

    def __init__(self, word: str, description: str) -> None:
        super().__init__(word, description)
        self.word, self.description = word, description


def token(issuer: Issuer, settings: Settings, request: web.Request, wire: bytes) -> Verdict:
    """`POST /oauth/token`."""
    if request.method != "POST":
        return _error("invalid_request", "only POST is allowed here", 405, {"Allow": "POST"})
    try:
        form = _form(request, wire)
        _check_client(settings, request, form)
        return _granted(_pair(issuer, form), form)
    except _Wrong as wrong:
        if wrong.word != "invalid_client":
            return _error(wrong.word, wrong.description)
        return _error(wrong.word, wrong.description, 401, {"WWW-Authenticate": 'Basic realm="sandbox"'})


def _form(request: web.Request, wire: bytes) -> Mapping[str, str]:
    if request.content_type != FORM or encoding_of(request):
        raise _Wrong("invalid_request", f"the body must be {FORM}, not compressed")
    try:
        pairs = parse_qsl(wire.decode(), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise _Wrong("invalid_request", "the body is no form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Wrong("invalid_request", "a field is there twice")
    return form


def _check_client(settings: Settings, request: web.Request, form: Mapping[str, str]) -> None:
    kind, _, pair = request.headers.get("Authorization", "").partition(" ")
    if not kind:
        given = (form.get("client_id", ""), form.get("client_secret", ""))
    elif kind.lower() != "basic" or "client_secret" in form:
        raise _Wrong("invalid_request", "a client says who it is in one way: a Basic header, or the body")
    else:
        try:
            identity, _, secret = b64decode(pair, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise _Wrong("invalid_request", "the Basic header cannot be read") from None
        given = (unquote_plus(identity), unquote_plus(secret))
    wanted = (settings.client_id, settings.password)
    if not all(hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(given, wanted, strict=True)):
        raise _Wrong("invalid_client", "there is no such client with this secret")


def _pair(issuer: Issuer, form: Mapping[str, str]) -> Pair:
    match form.get("grant_type", ""):
        case "password":
            pair = issuer.login(_field(form, "username"), _field(form, "password"))
            wrong = "wrong username or password"
        case "client_credentials":
            return issuer.admit()
        case "refresh_token":
            pair = issuer.refresh(_field(form, "refresh_token"), revoke_family=True)
            wrong = "the refresh token is not valid"
        case "":
            raise _Wrong("invalid_request", "grant_type is missing")
        case _:
            raise _Wrong(
                "unsupported_grant_type", "there are: password, client_credentials and refresh_token"
            )
    if pair is None:
        raise _Wrong("invalid_grant", wrong)
    return pair


def _field(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        raise _Wrong("invalid_request", f"{name} is missing")
    return form[name]


def _granted(pair: Pair, form: Mapping[str, str]) -> Verdict:
    document: dict[str, object] = {
        "access_token": pair.access,
        "token_type": "Bearer",
        "expires_in": pair.expires_in,
    }
    if pair.refresh:
        document["refresh_token"] = pair.refresh
    if scope := form.get("scope"):
        document["scope"] = scope
    headers = {"Cache-Control": "no-store"}
    return Verdict(status=200, document=document, headers=headers, token=pair.serial, processed=True)


def _error(
    word: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None
) -> Verdict:
    return Verdict(
        status=status,
        document={"error": word, "error_description": description},
        headers={"Cache-Control": "no-store", **(headers or {})},
        reason=f"{word}: {description}",
    )
