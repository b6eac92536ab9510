"""connections/*.yaml of `type: database` → Database."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.config.build_grants import user_name
from agent.config.model import Database
from agent.config.view import View
from agent.config.words import did_you_mean

SCHEMES = {
    "postgresql": "postgresql://host/database",
    "sqlite": "sqlite:////var/lib/app/data.db",
    "mysql+pymysql": "mysql+pymysql://host/database",
    "mariadb+pymysql": "mariadb+pymysql://host/database",
    "mssql+pymssql": "mssql+pymssql://host/database",
    "oracle+oracledb": "oracle+oracledb://host/?service_name=name",
}
"""What a URL may begin with → an example. `agent/databases` has the code for each."""
_OF_HTTP = ("auth", "endpoints", "limits", "accepts", "tls", "proxy")
OF_DATABASE = ("username", "password", "timeout", "statement_timeout", "read_only")
"""Keys that a connection of another type has not."""


def build_database(view: View) -> Database | None:
    """A database; None when something that it cannot be without is missing."""
    for key in _OF_HTTP:
        if key in view:
            view.found.error(view.at(key), "a connection of type database has no such key", "delete it")
    if "url" not in view:
        view.found.error(view.at("connection"), "a database needs a url", f"url: {SCHEMES['postgresql']}")
    name, url = view.text("connection"), view.text("url")
    if name is None or url is None:
        return None
    wrong = _trouble(url)
    if wrong is not None:
        view.found.error(view.at("url"), *wrong)
    default = Database(name=name, url=url, where=view.at("connection"))
    made = Database(
        name=name,
        url=url,
        username=user_name(view),
        password=view.secret("password"),
        timeout=view.duration("timeout", default.timeout),
        statement_timeout=view.duration("statement_timeout", default.statement_timeout),
        read_only=view.flag("read_only", default=default.read_only),
        where=default.where,
    )
    if made.kind == "sqlite" and (made.username or made.password):
        key = "username" if "username" in view else "password"
        view.found.error(view.at(key), "SQLite knows no users: who may read its file is all", "delete it")
    elif made.password is not None and made.username is None:
        view.found.error(view.at("password"), "a password needs a user name", "add `username`")
    return made


def _trouble(url: str) -> tuple[str, str] | None:  # noqa: PLR0911 - one for each mistake
    """What makes it no URL of a database. Never repeats it: it may hold a password."""
    if any(not char.isprintable() or char in ' "<>\\^`' for char in url):
        return "the URL holds a space or another character that cannot be in it", "write %20 for a space"
    scheme, colon, rest = url.partition("://")
    if not colon:
        return "is no URL of a database", f"for example {SCHEMES['postgresql']}"
    if scheme not in SCHEMES:
        known = ", ".join(each + "://" for each in SCHEMES)
        return f"{scheme[:30]}:// is not known", did_you_mean(
            scheme, SCHEMES, otherwise=f"there are: {known}"
        )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "the URL's host or port is wrong", f"for example {SCHEMES[scheme]}"
    if parts.username is not None or parts.password is not None:
        hint = "write `username:` and `password: {secret: NAME}` beside it"
        return "a URL must not hold a user name or password", hint
    asked = {pair.partition("=")[0].lower() for pair in parts.query.split("&")}
    if asked & {"user", "password", "passfile", "sslpassword", "service"}:
        hint = "write `username:` and `password: {secret: NAME}` beside it"
        return "a user name or password must not stand behind the ?", hint
    if scheme == "sqlite" and (not rest.startswith("//") or len(rest.strip("/")) == 0 or parts.query):
        return "must name a file with its whole path", f"with four slashes: {SCHEMES['sqlite']}"
    return None
