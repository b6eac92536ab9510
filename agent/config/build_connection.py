"""connections/*.yaml → Connection."""

from __future__ import annotations

from agent.config.model import (
    Auth,
    BasicAuth,
    BearerAuth,
    Connection,
    HeaderAuth,
    Limits,
    LoginLimit,
    NoAuth,
    PasswordAuth,
    SecretRef,
    Tls,
    Where,
)
from agent.config.urls import is_open, trouble
from agent.config.view import View

# Headers that the product itself sets; a key in one of them would be overwritten or break the request.
OWN_HEADERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "idempotency-key", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def build_connection(view: View) -> Connection | None:
    """A connection; None when something that it cannot be without is missing."""
    auth = _auth(view)
    name = view.text("connection")
    _check_urls(view, signs_in=not isinstance(auth, NoAuth))
    tls = _tls(view, signs_in=not isinstance(auth, NoAuth))
    if auth is None or name is None:
        return None
    default = Limits()
    limits = view.section("limits")
    base = view.text("url")
    return Connection(
        name=name,
        auth=auth,
        endpoints={key: url for key, url, _ in _endpoints(view)},
        base=base.rstrip("/") if base else None,
        limits=Limits(
            rate=limits.rate("rate", default.rate),
            concurrency=limits.number("concurrency", default.concurrency),
        ),
        accepts_gzip=view.section("accepts").flag("gzip", default=False),
        tls=tls,
        where=view.at("connection"),
    )


def _endpoints(view: View) -> list[tuple[str, str, Where]]:
    section = view.section("endpoints")
    urls = [(key, section.text(key), section.at(key)) for key in section.tree.entries]
    return [(key, url, where) for key, url, where in urls if url is not None]


def _check_urls(view: View, *, signs_in: bool) -> None:
    urls = [(url, where) for _, url, where in _endpoints(view)]
    if base := view.text("url"):
        urls.append((base, view.at("url")))
        if "?" in base:
            view.found.error(
                view.at("url"), "a base URL has no ? part", "put it into the job's `target.path`"
            )
    auth = view.section("auth")
    if login := auth.text("url"):
        urls.append((login, auth.at("url")))
    for url, where in urls:
        wrong = trouble(url)
        if wrong:
            view.found.error(where, wrong.message, wrong.hint)
        elif signs_in and is_open(url):
            message = "a sign-in must not travel over plain http, where anybody on the way can read it"
            view.found.error(where, message, "write https:// (http:// is allowed to this machine only)")


def _tls(view: View, *, signs_in: bool) -> Tls:
    section = view.section("tls")
    verify = section.flag("verify", default=True)
    if not verify and signs_in:
        message = "the certificate must be checked where somebody signs in"
        hint = "delete `verify: false`; for a certificate of your own, name its authority in `tls.ca`"
        view.found.error(section.at("verify"), message, hint)
    elif not verify:
        message = (
            "the target's certificate is not checked: anybody on the way can read and change what is sent"
        )
        view.found.warning(section.at("verify"), message, "name the authority in `tls.ca` instead")
    return Tls(
        ca=section.path("ca"), certificate=section.path("certificate"), key=section.path("key"), verify=verify
    )


def _auth(view: View) -> Auth | None:  # noqa: PLR0911 - one for each type
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
    for key in ("login_path", "refresh_path"):
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
        login_again_on=auth.numbers("login_again_on") or default.login_again_on,
        renew_before=auth.duration("renew_before", default.renew_before),
        login_limit=LoginLimit(
            failures=limit.number("failures", default.login_limit.failures),
            pause=limit.duration("pause", default.login_limit.pause),
        ),
    )
