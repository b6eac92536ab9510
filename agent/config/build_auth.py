"""`auth:` of connections/*.yaml → Auth."""

from __future__ import annotations

from agent.config.model import (
    Auth,
    BasicAuth,
    BearerAuth,
    HeaderAuth,
    LoginLimit,
    NoAuth,
    PasswordAuth,
    SecretRef,
)
from agent.config.view import View

# Headers that the product itself sets; a key in one of them would be overwritten or break the request.
OWN_HEADERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "idempotency-key", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def build_auth(view: View) -> Auth | None:  # noqa: PLR0911 - one for each type
    """How to sign in; None when something that it cannot be without is missing."""
    if "auth" not in view:
        return NoAuth()
    auth = view.section("auth")
    match auth.word("type", ""):
        case "none":
            return NoAuth()
        case "basic":
            username, password = _username(auth), auth.secret("password")
            return BasicAuth(username=username, password=password) if username and password else None
        case "bearer":
            token = auth.secret("token")
            return BearerAuth(token=token) if token else None
        case "header":
            return _header(auth)
        case "password":
            return _password(auth)
        case _:
            return None


def _username(auth: View) -> SecretRef | str | None:
    name = auth.text("username") or auth.secret("username")
    if isinstance(name, str) and not name.isprintable():
        auth.found.error(auth.at("username"), "holds a character that cannot be sent", "write it in one line")
    elif isinstance(name, str) and ":" in name and auth.word("type", "") == "basic":
        auth.found.error(
            auth.at("username"), "a user name with a colon cannot be sent with type basic (RFC 7617)"
        )
    return name


def _header(auth: View) -> HeaderAuth | None:
    name, value = auth.text("name"), auth.secret("value")
    if name and name.lower() in OWN_HEADERS:
        auth.found.error(
            auth.at("name"), f"{name} is set by push-agent itself", "use the header the platform names"
        )
    return HeaderAuth(name=name, value=value) if name and value else None


def _password(auth: View) -> PasswordAuth | None:
    url, username, password = auth.text("url"), _username(auth), auth.secret("password")
    for key in ("login_path", "refresh_path", "logout_path"):
        path = auth.text(key)
        if path and not all("!" <= char <= "~" for char in path):
            auth.found.error(
                auth.at(key), "the path holds a character that cannot be in it", "write %20 for a space"
            )
    if url is None or username is None or password is None:
        return None
    default = PasswordAuth(url=url.rstrip("/"), username=username, password=password)
    limit = auth.section("login_limit")
    return PasswordAuth(
        url=default.url,
        username=username,
        password=password,
        login_path=auth.text("login_path") or default.login_path,
        refresh_path=auth.text("refresh_path") or default.refresh_path,
        logout_path=auth.text("logout_path") or default.logout_path,
        login_again_on=auth.numbers("login_again_on") or default.login_again_on,
        renew_before=auth.duration("renew_before", default.renew_before),
        login_limit=LoginLimit(
            failures=limit.number("failures", default.login_limit.failures),
            pause=limit.duration("pause", default.login_limit.pause),
        ),
    )
