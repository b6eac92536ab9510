"""`source:` of type http and command → HttpSource, CommandSource."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from agent.config.build_only import whole_list
from agent.config.build_target import check_choice, check_header, check_path
from agent.config.document import Sequence
from agent.config.model import (
    CommandSource,
    CursorPage,
    HttpSource,
    JsonSource,
    NextPage,
    NumberedPage,
    Paging,
    Reading,
)
from agent.config.urls import trouble
from agent.config.view import View

_WORD = re.compile(r"\{([^{}]*)\}")
_FILLED = re.compile(r"(since|until)(:(rfc3339|date|unix))?|cursor")
_PAGES = 1000
_LONGEST_COMMAND = timedelta(hours=1)


def build_http(source: View, reading: Reading) -> HttpSource | None:
    """None when its connection is not named."""
    url, path = source.text("url"), source.text("path")
    check_choice(source, _PLACES, "does not say what to get")
    if url is not None and (wrong := trouble(url)):
        source.found.error(source.at("url"), wrong.message, wrong.hint)
    if path is not None:
        check_path(source, path)
        if "{" in path or "}" in path:
            hint = "use `query`, or %7B and %7D for the braces themselves"
            source.found.error(source.at("path"), "nothing is filled in here", hint)
    paging = _paging(source)
    words = frozenset({"cursor"} if isinstance(paging, CursorPage) else ())
    connection = source.text("connection")
    headers, query = _headers(source), _query(source, words)
    _check_twice(source, paging, query)
    if isinstance(paging, NextPage | CursorPage) and paging.pointer and not isinstance(reading, JsonSource):
        where = source.section("paging").at("next" if isinstance(paging, NextPage) else "cursor")
        source.found.error(where, "only a JSON answer holds the next page", "write `next: link`, or count")
    if connection is None:
        return None
    default = HttpSource(connection=connection, reading=reading, where=source.where)
    made = HttpSource(
        connection=connection,
        endpoint=source.text("endpoint"),
        url=url,
        path=path,
        headers=headers,
        query=query,
        paging=paging,
        max_pages=source.section("paging").number("max_pages", _PAGES),
        max_bytes=source.size("max_bytes", default.max_bytes),
        timeout=source.duration("timeout", default.timeout),
        reading=reading,
        where=source.where,
    )
    whole_list(source, made)
    return made


_PLACES = frozenset(
    {"type", "connection", "endpoint", "path", "url", "headers", "query", "format", "records", "paging"}
)


def _headers(source: View) -> tuple[tuple[str, str], ...]:
    section = source.section("headers")
    headers = []
    for name in section.tree.entries:
        if (text := section.text(name)) is not None:
            check_header(section, name, text, section.at(name))
            headers.append((name, text))
    return tuple(headers)


def _query(source: View, words: frozenset[str]) -> tuple[tuple[str, str], ...]:
    section = source.section("query")
    pairs = []
    for name in section.tree.entries:
        if (text := section.text(name)) is not None:
            _check_words(section, name, text, words | {"since", "until"})
            pairs.append((name, text))
    return tuple(pairs)


def _check_words(view: View, key: str, text: str, words: frozenset[str]) -> None:
    """`{since}` and its like; nothing else is filled in."""
    for word in _WORD.findall(text.replace("{{", "").replace("}}", "")):
        if not _FILLED.fullmatch(word) or word.partition(":")[0] not in words:
            there = ", ".join(f"{{{one}}}" for one in sorted(words)) or "nothing"
            hint = f"filled in here: {there}; {{{{ and }}}} are the braces themselves"
            view.found.error(view.at(key), f"there is no {{{word}}}", hint)


def _check_twice(source: View, paging: Paging | None, query: tuple[tuple[str, str], ...]) -> None:
    own = {
        CursorPage: lambda one: {one.param},
        NumberedPage: lambda one: {one.param, one.size_param},
    }.get(type(paging), lambda _: set())(paging)
    for name, text in query:
        if name in own and "{cursor}" not in text:
            source.found.error(
                source.section("query").at(name), "is set by `paging` too", "keep one of the two"
            )


def _paging(source: View) -> Paging | None:
    paging = source.view("paging")
    if paging is None:
        return None
    kinds = [key for key in _KINDS if key in paging]
    if len(kinds) != 1:
        paging.found.error(
            paging.where,
            "wants exactly one of next, cursor, page, offset",
            "for example paging: {next: link}",
        )
        return None
    return _KINDS[kinds[0]](paging)


def _next(paging: View) -> NextPage:
    where = paging.text("next") or ""
    return NextPage(pointer="" if where == "link" else where, keep=paging.flag("keep", default=False))


def _cursor(paging: View) -> CursorPage:
    default = CursorPage(pointer=paging.text("cursor") or "/cursor")
    return CursorPage(
        pointer=default.pointer,
        param=paging.text("param") or default.param,
        keep=paging.flag("keep", default=default.keep),
    )


def _page(paging: View) -> NumberedPage:
    size = paging.section("size")
    return NumberedPage(
        param=paging.text("page") or "page",
        start=paging.number("start", 1),
        size_param=size.text("param") or "",
        size=size.number("value", 0),
        by="page",
    )


def _offset(paging: View) -> NumberedPage:
    limit = paging.section("limit")
    if "limit" not in paging:
        paging.found.error(
            paging.at("offset"),
            "an offset grows by the limit, and there is none",
            "add limit: {param: limit, value: 500}",
        )
    return NumberedPage(
        param=paging.text("offset") or "offset",
        start=paging.number("start", 0),
        size_param=limit.text("param") or "",
        size=limit.number("value", 0),
        by="offset",
    )


_KINDS: dict[str, Callable[[View], Paging]] = {
    "next": _next,
    "cursor": _cursor,
    "page": _page,
    "offset": _offset,
}


def build_command(source: View, reading: Reading) -> CommandSource | None:
    """None when there is no command."""
    command = source.texts("command")
    if not command or not isinstance(source.node("command"), Sequence):
        return None
    program, where = command[0], next(iter(source.items("command")))[1]
    if not program.startswith("/"):
        hint = f"write where it lies, such as /usr/local/bin/{program.rpartition('/')[2] or 'export'}"
        source.found.error(where, "the program needs its whole path: no PATH and no shell looks for it", hint)
    if any("\0" in word for word in command):
        source.found.error(where, "an argument holds NUL", "delete it")
    default = CommandSource(command=command, reading=reading, where=source.where, program=where)
    timeout = source.duration("timeout", default.timeout)
    if timeout > _LONGEST_COMMAND:
        source.found.error(source.at("timeout"), "is longer than 1 h", "write 1h or less")
    folder = source.text("folder")
    return CommandSource(
        command=command,
        environment=source.texts("environment"),
        folder=str(source.folder / folder) if folder else default.folder,
        timeout=timeout,
        success=source.numbers("success") or default.success,
        max_bytes=source.size("max_bytes", default.max_bytes),
        reading=reading,
        where=source.where,
        program=where,
    )
