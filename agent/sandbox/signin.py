"""The Auth API: a form in, a pair of tokens out. Strict, so that a wrong dialect is found here."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from agent.sandbox.answers import Verdict, encoding_of, refuse
from agent.sandbox.settings import Settings
from agent.sandbox.tokens import Issuer, Pair

FORM = "application/x-www-form-urlencoded"


def log_in(issuer: Issuer, request: web.Request, wire: bytes) -> Verdict:
    """`POST /api/v1/auth/password` with `username` and `password`."""
    form = _read_form(request, wire, ("username", "password"))
    if isinstance(form, Verdict):
        return form
    pair = issuer.login(form["username"], form["password"])
    return _granted(pair) if pair else refuse(401, "invalid_grant: wrong username or password")


def refresh(issuer: Issuer, settings: Settings, request: web.Request, wire: bytes) -> Verdict:
    """`POST /api/v1/auth/refresh` with `refresh_token`."""
    form = _read_form(request, wire, ("refresh_token",))
    if isinstance(form, Verdict):
        return form
    pair = issuer.refresh(form["refresh_token"])
    if pair is None:
        return refuse(settings.dead_refresh_answer, "invalid_grant: the refresh token is not valid")
    return _granted(pair)


def _read_form(request: web.Request, wire: bytes, wanted: tuple[str, ...]) -> Mapping[str, str] | Verdict:
    if request.method != "POST":
        return refuse(405, "only POST is allowed here", headers={"Allow": "POST"})
    if request.content_type != FORM or encoding_of(request):
        return refuse(415, f"the body must be {FORM}, not compressed")
    try:
        pairs = parse_qsl(wire.decode(), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        return refuse(400, "invalid_request: the body is no form")
    if sorted(key for key, _ in pairs) != sorted(wanted):
        names = " and ".join(wanted)
        return refuse(400, f"invalid_request: the form must hold {names}, once, and nothing else")
    return dict(pairs)


def _granted(pair: Pair) -> Verdict:
    document = {
        "access_token": pair.access,
        "refresh_token": pair.refresh,
        "token_type": "bearer",
        "expires_in": pair.expires_in,
    }
    return Verdict(
        status=200,
        document=document,
        headers={"Cache-Control": "no-store"},
        token=pair.serial,
        processed=True,
    )
