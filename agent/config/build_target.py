"""`target:` → Target."""

from __future__ import annotations

import re

from agent.config.document import Scalar
from agent.config.map_tree import build_template
from agent.config.model import Reply, Target, Template, Told, Where
from agent.config.own_headers import OWN_HEADERS
from agent.config.urls import trouble
from agent.config.view import View

_SIGN_IN = frozenset({"authorization", "cookie", "proxy-authorization"})
# A JSON Web Token, a PEM key, a sign-in header's value: things that are secrets wherever they stand.
_LOOKS_SECRET = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]{8,}|-----BEGIN|^(?:Bearer|Basic|Token)\s+\S{8,}", re.IGNORECASE
)
# Answers that mean something else for push-agent: sign in again, slow down, look elsewhere.
_NEVER_SUCCESS = frozenset({401, 403, 408, 425, 429, *range(300, 400)})


def build_target(target: View) -> Target | None:
    """None when its connection is not named."""
    url, path = target.text("url"), target.text("path")
    check_choice(target, _KEYS, "does not say where to send")
    if url is not None and (wrong := trouble(url)):
        target.found.error(target.at("url"), wrong.message, wrong.hint)
    headers = _headers(target)
    template = _path(target, path) if path is not None else None
    success = target.numbers("success")
    _check_success(target, success)
    connection = target.text("connection")
    if connection is None:
        return None
    default = Target(connection=connection, where=target.where)
    timeout = target.view("timeout")
    total = (
        timeout.duration("total", default.timeout) if timeout else target.duration("timeout", default.timeout)
    )
    connect = timeout.duration("connect", default.connect_timeout) if timeout else default.connect_timeout
    return Target(
        connection=connection,
        endpoint=target.text("endpoint"),
        url=url,
        path=template,
        method=target.word("method", default.method),
        headers=headers,
        timeout=total,
        connect_timeout=min(connect, total),
        success=success or default.success,
        reply=_reply(target),
        where=target.where,
    )


def check_choice(target: View, keys: frozenset[str], message: str) -> None:
    """Either `url`, or `endpoint` and `path`. `keys`: with others there, something else is wrong first."""
    if "url" in target:
        for other in ("endpoint", "path"):
            if other in target:
                target.found.error(
                    target.at(other), f"{other} cannot stand beside url", "keep one of the two"
                )
    elif not {"endpoint", "path"} & set(target.tree.entries) and set(target.tree.entries) <= keys:
        hint = "add `endpoint: NAME` of the connection, or `path: /…` after the connection's url"
        target.found.error(target.where, message, hint)


_KEYS = frozenset(
    {"connection", "endpoint", "path", "url", "method", "headers", "timeout", "success", "reply"}
)


def _reply(target: View) -> Reply | None:
    view = target.view("reply")
    if view is None:
        return None
    default = Reply(items="", where=view.where)
    key = view.text("key") or default.key
    reply = Reply(
        items=view.text("items") or default.items,
        match=view.word("match", default.match),
        key=key,
        record=view.text("record") or key,
        listed=view.word("listed", default.listed),
        error=view.text("error") or default.error,
        ok=_told(view, "ok"),
        retry=_told(view, "retry"),
        unreadable=view.word("unreadable", default.unreadable),
        where=view.where,
    )
    _check_reply(view, reply)
    return reply


def _told(view: View, name: str) -> Told | None:
    told = view.view(name)
    if told is None:
        return None
    return Told(at=told.text("at") or "", values=_values(told))


def _values(told: View) -> frozenset[str]:
    values = [node.value for node, _ in told.items("values") if isinstance(node, Scalar)]
    return frozenset(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _check_reply(view: View, reply: Reply) -> None:
    if reply.match != "position" and not reply.key:
        hint = "write `key: /…`, a JSON pointer in a result"
        view.found.error(view.at("match"), f"{reply.match} needs a `key`", hint)
    elif reply.match == "position" and "key" in view:
        hint = "write `match: key` or `match: index`, or delete `key`"
        view.found.error(view.at("key"), "with `match: position` a result names no record", hint)
    if "record" in view and reply.match != "key":
        view.found.error(view.at("record"), "only `match: key` looks into records", "delete `record`")
    if reply.match == "position" and reply.listed == "errors":
        hint = "write `match: key` or `match: index`"
        view.found.error(view.at("listed"), "a list of errors alone needs to name the records", hint)
    if reply.listed == "all" and not reply.error and reply.ok is None:
        hint = "write `error: /…` or `ok: {at: /…, values: […]}`"
        view.found.error(view.where, "does not say which results are refusals", hint)


def _path(target: View, path: str) -> Template:
    template = build_template(path, target.at("path"), target.found)
    check_path(target, "".join(part if isinstance(part, str) else "x" for part in template.parts))
    return template


def check_path(target: View, fixed: str) -> None:
    """Whether a URL can hold the path; `fixed`: with a letter for each {expression}."""
    where = target.at("path")
    if any(not "!" <= char <= "~" for char in fixed) or "\\" in fixed:
        target.found.error(where, "the path holds a character that cannot be in it", "write %20 for a space")
    elif "#" in fixed:
        target.found.error(where, "a path to send to has no # part", "delete it, or write %23")
    elif {".", ".."} & set(fixed.split("?", maxsplit=1)[0].split("/")) or fixed.startswith("//"):
        target.found.error(
            where, "the path must not hold .. or begin with //", "write the path from the root"
        )


def _headers(target: View) -> tuple[tuple[str, Template], ...]:
    section = target.section("headers")
    headers, seen = [], set()
    for name in section.tree.entries:
        text, where = section.text(name), section.at(name)
        if text is None:
            continue
        if name.lower() in seen:
            section.found.error(
                where, "is there twice: header names do not tell capital letters from small ones"
            )
        seen.add(name.lower())
        check_header(section, name, text, where)
        headers.append((name, build_template(text, where, section.found)))
    return tuple(headers)


def check_header(section: View, name: str, text: str, where: Where) -> None:
    """What a job may not set, and what no header can hold."""
    if name.lower() in _SIGN_IN:
        hint = "use `auth:` of the connection, with secret references"
        section.found.error(where, "a sign-in does not belong into a job", hint)
    elif name.lower() in OWN_HEADERS:
        hint = "use `body.content_type`" if name.lower() == "content-type" else "delete it"
        section.found.error(where, "is set by push-agent itself", hint)
    elif any(not " " <= char <= "~" for char in text):
        hint = "write it in one line, in ASCII"
        section.found.error(where, "holds a character that cannot be in a header", hint)
    elif _LOOKS_SECRET.search(text):
        hint = "use `auth: {type: header, …}` of the connection, with a secret reference"
        section.found.error(where, "looks like a secret; secrets are references, never literals", hint)


def _check_success(target: View, success: frozenset[int]) -> None:
    for code in sorted(success & _NEVER_SUCCESS):
        target.found.error(
            target.at("success"), f"{code} can never mean that a message was delivered", "delete it"
        )
