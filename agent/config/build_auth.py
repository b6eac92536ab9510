"""`auth:` of connections/*.yaml → Auth."""

from __future__ import annotations

from agent.config.build_grants import RENEWED, user_name
from agent.config.model import Auth, BasicAuth, BearerAuth, HeaderAuth, NoAuth
from agent.config.own_headers import check_own_header
from agent.config.view import View


def build_auth(view: View) -> Auth | None:  # noqa: PLR0911 - one for each type
    """How to sign in; None when something that it cannot be without is missing."""
    if "auth" not in view:
        return NoAuth()
    auth = view.section("auth")
    match auth.word("type", ""):
        case "none":
            return NoAuth()
        case "basic":
            return _basic(auth)
        case "bearer":
            token = auth.secret("token")
            return BearerAuth(token=token) if token else None
        case "header":
            return _header(auth)
        case word if word in RENEWED:
            return RENEWED[word](auth)
        case _:
            return None


def _basic(auth: View) -> BasicAuth | None:
    username, password = user_name(auth), auth.secret("password")
    if isinstance(username, str) and ":" in username and username.isprintable():
        auth.found.error(
            auth.at("username"), "a user name with a colon cannot be sent with type basic (RFC 7617)"
        )
    return BasicAuth(username=username, password=password) if username and password else None


def _header(auth: View) -> HeaderAuth | None:
    name, value = auth.text("name"), auth.secret("value")
    check_own_header(auth, "name")
    return HeaderAuth(name=name, value=value) if name and value else None
