"""connections/*.yaml → Connection."""

from __future__ import annotations

import re

from agent.config.build_auth import build_auth
from agent.config.build_database import OF_DATABASE
from agent.config.build_proxy import build_proxy
from agent.config.model import Connection, Limits, NoAuth, Proxy, Tls, Where
from agent.config.urls import READ_BY_PROXY, is_open, is_read_by, trouble
from agent.config.view import View


def build_connection(view: View) -> Connection | None:
    """A connection; None when something that it cannot be without is missing."""
    for key in OF_DATABASE:
        if key in view:
            hint = "delete it; who signs in where is said in `auth`" if "name" in key else "delete it"
            view.found.error(view.at(key), "a connection of type http has no such key", hint)
    auth = build_auth(view)
    name = view.text("connection")
    proxy = build_proxy(view)
    _check_urls(view, proxy, signs_in=not isinstance(auth, NoAuth))
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
        proxy=proxy,
        where=view.at("connection"),
    )


def _endpoints(view: View) -> list[tuple[str, str, Where]]:
    section = view.section("endpoints")
    urls = [(key, section.text(key), section.at(key)) for key in section.tree.entries]
    return [(key, url, where) for key, url, where in urls if url is not None]


def _check_urls(view: View, proxy: Proxy | None, *, signs_in: bool) -> None:
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
        elif signs_in and proxy is not None and is_read_by(proxy, url):
            view.found.error(where, READ_BY_PROXY, "write https://, or delete `proxy`")


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
        ca=section.path("ca"),
        certificate=section.path("certificate"),
        key=section.path("key"),
        verify=verify,
        minimum=section.word("minimum", Tls().minimum),
        host=_host(section),
        where={key: section.at(key) for key in ("ca", "certificate", "key") if key in section},
    )


_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")  # IPv6; OpenSSL takes it as it is


def _host(section: View) -> str | None:
    """A name as a certificate carries it."""
    host = section.text("host")
    if host is None or _NAME.fullmatch(host) or _ADDRESS.fullmatch(host):
        return host
    message, hint = "must be a host name such as api.example.com", "write only the name, or an IP address"
    if "*" in host:
        message, hint = "a wildcard is what a certificate may hold; here stands the host itself", ""
    elif not host.isascii():
        hint = "write it in ASCII, as xn--…"
    elif host.rpartition(":")[2].isdigit() and "://" not in host:
        message, hint = "the name of a certificate has no port", "delete it: the port of the URL counts"
    section.found.error(section.at("host"), message, hint)
    return None
