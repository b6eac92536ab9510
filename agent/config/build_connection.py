"""connections/*.yaml → Connection."""

from __future__ import annotations

from agent.config.build_auth import build_auth
from agent.config.model import Connection, Limits, NoAuth, Tls, Where
from agent.config.urls import is_open, trouble
from agent.config.view import View


def build_connection(view: View) -> Connection | None:
    """A connection; None when something that it cannot be without is missing."""
    auth = build_auth(view)
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
