"""`auth:` of connections/*.yaml where the token is renewed: the types that have a grant each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Final, TypeAlias

from agent.config.model import (
    AnswerNames,
    Client,
    ClientCredentialsAuth,
    Dialect,
    FieldNames,
    LoginLimit,
    OAuthPasswordAuth,
    PasswordAuth,
    RefreshTokenAuth,
    RenewedAuth,
    SecretRef,
    TokenCommandAuth,
    TokenHeader,
)
from agent.config.own_headers import check_own_header
from agent.config.view import View

_RENEW_BEFORE = timedelta(seconds=60)
_OAUTH = ("grant_type", "scope", "audience")


def build_password(auth: View) -> PasswordAuth | None:
    """`type: password`."""
    url, username, password = auth.text("url"), user_name(auth), auth.secret("password")
    for key in ("login_path", "refresh_path", "logout_path"):
        path = auth.text(key)
        if path and not all("!" <= char <= "~" for char in path):
            auth.found.error(
                auth.at(key), "the path holds a character that cannot be in it", "write %20 for a space"
            )
    dialect = _dialect(auth, ("username", "password", "refresh_token"), ())
    if url is None or username is None or password is None:
        return None
    default = PasswordAuth(url=url.rstrip("/"), username=username, password=password)
    return PasswordAuth(
        url=default.url,
        username=username,
        password=password,
        login_path=auth.text("login_path") or default.login_path,
        refresh_path=auth.text("refresh_path") or default.refresh_path,
        logout_path=auth.text("logout_path") or default.logout_path,
        login_again_on=_words(auth) or default.login_again_on,
        renew_before=auth.duration("renew_before", default.renew_before),
        login_limit=_limit(auth),
        dialect=dialect,
    )


def _oauth_password(auth: View) -> OAuthPasswordAuth | None:
    url, username, password = auth.text("url"), user_name(auth), auth.secret("password")
    dialect, client = _dialect(auth, _FIELDS, _OAUTH), _client(auth)
    if url is None or username is None or password is None:
        return None
    default = OAuthPasswordAuth(url=url, username=username, password=password)
    return OAuthPasswordAuth(
        url=url,
        username=username,
        password=password,
        client=client,
        scope=auth.text("scope") or "",
        audience=auth.text("audience") or "",
        login_again_on=_words(auth) or default.login_again_on,
        renew_before=auth.duration("renew_before", _RENEW_BEFORE),
        login_limit=_limit(auth),
        dialect=dialect,
    )


def _client_credentials(auth: View) -> ClientCredentialsAuth | None:
    url, client = auth.text("url"), _client(auth)
    dialect = _dialect(auth, ("client_id", "client_secret"), _OAUTH)
    if url is None or client is None:
        return None
    return ClientCredentialsAuth(
        url=url,
        client=client,
        scope=auth.text("scope") or "",
        audience=auth.text("audience") or "",
        renew_before=auth.duration("renew_before", _RENEW_BEFORE),
        login_limit=_limit(auth),
        dialect=dialect,
    )


def _refresh_token(auth: View) -> RefreshTokenAuth | None:
    url, seed, client = auth.text("url"), auth.secret("refresh_token"), _client(auth)
    dialect = _dialect(auth, ("refresh_token", "client_id", "client_secret"), ("grant_type", "scope"))
    if url is None or seed is None:
        return None
    default = RefreshTokenAuth(url=url, refresh_token=seed)
    return RefreshTokenAuth(
        url=url,
        refresh_token=seed,
        client=client,
        scope=auth.text("scope") or "",
        login_again_on=_words(auth) or default.login_again_on,
        renew_before=auth.duration("renew_before", _RENEW_BEFORE),
        dialect=dialect,
    )


_LONGEST_COMMAND = timedelta(seconds=60)


def _token_command(auth: View) -> TokenCommandAuth | None:
    command = auth.texts("command")
    if not command:
        return None
    program, where = command[0], next(iter(auth.items("command")))[1]
    if not program.startswith("/"):
        hint = f"write where it lies, such as /usr/local/bin/{program.rpartition('/')[2] or 'get-token'}"
        auth.found.error(where, "the program needs its whole path: no PATH and no shell looks for it", hint)
    default = TokenCommandAuth(command=command)
    timeout = auth.duration("timeout", default.timeout)
    if timeout > _LONGEST_COMMAND:
        auth.found.error(auth.at("timeout"), "is longer than 60 s", "write 60s or less: all jobs wait for it")
    return TokenCommandAuth(
        command=command,
        timeout=timeout,
        environment=auth.texts("environment") if "environment" in auth else default.environment,
        renew_before=auth.duration("renew_before", _RENEW_BEFORE),
        login_limit=_limit(auth),
        answer=_answer(auth),
        header=_header(auth),
        where=where,
    )


_Build: TypeAlias = "Callable[[View], RenewedAuth | None]"

RENEWED: Final[Mapping[str, _Build]] = {
    "password": build_password,
    "oauth_password": _oauth_password,
    "client_credentials": _client_credentials,
    "refresh_token": _refresh_token,
    "token_command": _token_command,
}
"""By the word in `auth.type`."""


def user_name(auth: View) -> SecretRef | str | None:
    """`username:`, a text or a secret reference."""
    name = auth.text("username") or auth.secret("username")
    if isinstance(name, str) and not name.isprintable():
        auth.found.error(auth.at("username"), "holds a character that cannot be sent", "write it in one line")
    return name


def _words(auth: View) -> frozenset[int | str]:
    return auth.numbers("login_again_on") | frozenset(auth.texts("login_again_on"))


def _limit(auth: View) -> LoginLimit:
    limit, default = auth.section("login_limit"), LoginLimit()
    return LoginLimit(
        failures=limit.number("failures", default.failures), pause=limit.duration("pause", default.pause)
    )


def _client(auth: View) -> Client | None:
    client = auth.section("client")
    identity = client.text("id") or client.secret("id")
    if identity is None:
        return None
    return Client(id=identity, secret=client.secret("secret"), send=client.word("send", Client(id="").send))


# ------------------------------------------------------------------ dialects

_FIELDS = ("username", "password", "refresh_token", "client_id", "client_secret")


def _dialect(auth: View, used: Collection[str], own: Collection[str]) -> Dialect:
    """`used`: the fields that may be renamed here; `own`: others that push-agent writes itself."""
    section, default = auth.section("fields"), FieldNames()
    names = {key: section.text(key) or getattr(default, key) for key in _FIELDS}
    taken: dict[str, str] = dict.fromkeys(own, "")
    for key in used:
        if names[key] in taken and key in section:
            other = taken[names[key]] or "another field"
            section.found.error(section.at(key), f"{other} has the name {names[key]} already")
        taken[names[key]] = key
    return Dialect(
        send=auth.word("send", Dialect().send),
        fields=FieldNames(**names),
        extra=_extra(auth, taken),
        answer=_answer(auth),
        header=_header(auth),
    )


def _extra(auth: View, taken: Collection[str]) -> Mapping[str, SecretRef | str]:
    section = auth.section("extra")
    extra: dict[str, SecretRef | str] = {}
    for name in section.tree.entries:
        value = section.text(name) or section.secret(name)
        if name in taken:
            hint = "it has a key of its own, or is not yours to choose"
            section.found.error(section.at(name), f"push-agent itself sends the field {name}", hint)
        elif value is not None:
            extra[name] = value
    return extra


def _answer(auth: View) -> AnswerNames:
    section, default = auth.section("answer"), AnswerNames()
    return AnswerNames(
        access_token=section.text("access_token") or default.access_token,
        refresh_token=section.text("refresh_token") or default.refresh_token,
        expires_in=section.text("expires_in") or default.expires_in,
        token_type=section.text("token_type") or default.token_type,
    )


def _header(auth: View) -> TokenHeader:
    section, default = auth.section("header"), TokenHeader()
    check_own_header(section, "name")
    prefix = section.text("prefix")
    return TokenHeader(
        name=section.text("name") or default.name, prefix=default.prefix if prefix is None else prefix
    )
