"""`proxy:` of connections/*.yaml → Proxy."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.config.model import Proxy, SecretRef, Where
from agent.config.urls import trouble
from agent.config.view import View

_EXAMPLE = "http://proxy.example.com:3128"


def build_proxy(view: View) -> Proxy | None:
    """None when there is none, or when it cannot be used."""
    text, section = view.text("proxy"), view.view("proxy")
    if text == "env":
        return Proxy()
    if text is not None:
        return Proxy(url=text.rstrip("/")) if _usable(view, view.at("proxy"), text) else None
    url = section.text("url") if section is not None else None
    if section is None or url is None:
        return None
    good = _usable(section, section.at("url"), url)
    username, password = _username(section), section.secret("password")
    return Proxy(url=url.rstrip("/"), username=username, password=password) if good else None


def _username(section: View) -> SecretRef | str | None:
    name = section.text("username") or section.secret("username")
    if isinstance(name, str) and (":" in name or not name.isprintable()):
        message = "a user name with a colon or a line break cannot be sent to a proxy (RFC 7617)"
        section.found.error(section.at("username"), message)
    return name


def _usable(view: View, where: Where, url: str) -> bool:
    """Messages never repeat the URL: it may hold a password."""
    wrong = _wrong(url)
    if wrong is not None:
        view.found.error(where, *wrong)
    return wrong is None


def _wrong(url: str) -> tuple[str, str] | None:  # noqa: PLR0911 - one for each mistake
    scheme, mark, rest = url.partition("://")
    if scheme.lower().startswith("socks"):
        return "push-agent speaks HTTP to a proxy, not SOCKS", f"name an HTTP proxy: {_EXAMPLE}"
    if scheme.lower() == "https" and mark:
        hint = "write http://; what goes to an https:// target is encrypted inside of it, by TLS of its own"
        return "push-agent speaks plain HTTP to a proxy", hint
    if scheme.lower() != "http" or not mark:
        return (
            f"is neither env nor a URL such as {_EXAMPLE}",
            "env means: HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        )
    if "@" in rest:
        hint = f"write {{url: {_EXAMPLE}, username: {{secret: NAME}}, password: {{secret: NAME}}}}"
        return "secrets are references, never literals", hint
    if found := trouble(url):
        return found.message, f"for example {_EXAMPLE}"
    parts = urlsplit(url)
    if parts.path not in {"", "/"} or parts.query:
        return "a proxy has a host and a port, and no path", f"for example {_EXAMPLE}"
    return None
