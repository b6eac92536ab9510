"""The requests that were made, against those that were expected. Pure."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.config.model import Expected, ExpectedDead, JobTest
from agent.errors import AgentError
from agent.message import Draft
from agent.render import BadRecord
from agent.request import Request
from agent.testing.compare import MISSING, Difference, differences, shown
from agent.testing.xml import NotXml, parsed, xml_differences

_HINT = re.compile(r"\n +hint: ([^\n]*)")
MOST_TOLD = 20
"""Differences of one request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What became of the records that were given."""

    requests: tuple[tuple[Draft, Request], ...] = ()
    dead: tuple[BadRecord, ...] = ()
    error: AgentError | None = None
    """Why nothing could be made at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One thing that is not as expected."""

    what: str
    """`request 1`, `dead letter 2`, `the test`."""
    path: str
    """In the document, or what of the request: `geoReference.lat`, `method`."""
    expected: str
    got: str


def failures(test: JobTest, made: Made) -> tuple[Failure, ...]:
    """All that is not as expected; nothing when the test passes."""
    if test.expect_error is not None:
        return tuple(_error(test.expect_error, made))
    if made.error is not None:
        got = f"an error: {_said(made.error)}"
        return (Failure(what="the test", path="", expected=_counted(test.expect), got=got),)
    return (*_requests(test, made), *_dead(test.expect_dead, made))


def _error(wanted: str, made: Made) -> Iterator[Failure]:
    if made.error is None:
        got = _counted(made.requests)
    elif wanted not in f"{made.error.message}\n{made.error.hint}":
        got = f"an error: {_said(made.error)}"
    else:
        return
    yield Failure(what="the test", path="", expected=f"an error with the words: {wanted}", got=got)


def _said(error: AgentError) -> str:
    """An error in one line, also where it tells of several things, each with its hint."""
    lines = _HINT.sub(r" (\1)", error.message).split("\n")
    return "; ".join(lines) + (f" ({error.hint})" if error.hint else "")


def _counted(requests: Sequence[object]) -> str:
    return f"{len(requests)} request" + ("" if len(requests) == 1 else "s")


def _requests(test: JobTest, made: Made) -> Iterator[Failure]:
    if len(test.expect) != len(made.requests):
        yield Failure(what="the test", path="", expected=_counted(test.expect), got=_counted(made.requests))
    for number, (expected, (draft, request)) in enumerate(
        zip(test.expect, made.requests, strict=False), start=1
    ):
        found = list(_one(expected, draft, request, exact=test.exact))
        for one in found[:MOST_TOLD]:
            yield Failure(what=f"request {number}", path=one.path, expected=one.expected, got=one.got)
        if len(found) > MOST_TOLD:
            rest = f"{len(found) - MOST_TOLD} more differences"
            yield Failure(what=f"request {number}", path="", expected="", got=rest)


def _dead(wanted: tuple[ExpectedDead, ...], made: Made) -> Iterator[Failure]:
    for number in range(max(len(wanted), len(made.dead))):
        expected = f"a reason with the words: {wanted[number].reason}" if number < len(wanted) else MISSING
        got = (
            f"{made.dead[number].reason} (the record: {made.dead[number].text})"
            if number < len(made.dead)
            else MISSING
        )
        fits = (
            number < len(wanted)
            and number < len(made.dead)
            and wanted[number].reason in made.dead[number].reason
        )
        if not fits:
            yield Failure(what=f"dead letter {number + 1}", path="", expected=expected, got=got)


def _one(expected: Expected, draft: Draft, request: Request, *, exact: bool) -> Iterator[Difference]:
    if expected.method is not None and expected.method != request.method:
        yield Difference(path="method", expected=expected.method, got=request.method)
    if expected.url is not None and expected.url != request.url:
        yield Difference(path="url", expected=expected.url, got=request.url)
    if expected.path is not None and not _ends(request.url, expected.path):
        yield Difference(path="path", expected=f"…{expected.path}", got=request.url)
    have = {name.lower(): value for name, value in request.headers.items()}
    for name, value in expected.headers:
        got = have.get(name.lower())
        if got != value:
            yield Difference(path=f"header {name}", expected=value, got=MISSING if got is None else got)
    if expected.records is not None and expected.records != draft.records:
        yield Difference(path="records", expected=str(expected.records), got=str(draft.records))
    if expected.json is None and expected.xml is None and expected.text is None:
        return
    yield from _body(expected, gzip.decompress(draft.body), exact=exact)


def _ends(url: str, path: str) -> bool:
    parts = urlsplit(url)
    return (f"{parts.path}?{parts.query}" if parts.query else parts.path).endswith(path)


def _body(expected: Expected, body: bytes, *, exact: bool) -> Iterator[Difference]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        yield Difference(path="body", expected="text", got=f"{len(body)} bytes that are no UTF-8")
        return
    if expected.json is not None:
        try:
            document = json.loads(text)
        except ValueError as error:
            yield Difference(path="body", expected="JSON", got=f"{_short(text)} ({error})")
        else:
            yield from differences(expected.json.value, document, exact=exact)
    if expected.xml is not None:
        yield from _xml(expected.xml, text)
    if expected.text is not None and expected.text.rstrip("\r\n") != text.rstrip("\r\n"):
        yield from _lines(expected.text, text)


def _xml(expected: str, text: str) -> Iterator[Difference]:
    try:
        wanted = parsed(expected)
    except NotXml as error:
        yield Difference(path="expect.xml", expected="XML", got=str(error))
        return
    try:
        got = parsed(text)
    except NotXml as error:
        yield Difference(path="body", expected="XML", got=f"{_short(text)} ({error})")
        return
    yield from xml_differences(wanted, got)


def _lines(expected: str, got: str) -> Iterator[Difference]:
    """The lines that differ, by their number."""
    one, other = expected.splitlines(), got.splitlines()
    for number in range(max(len(one), len(other))):
        left = one[number] if number < len(one) else None
        right = other[number] if number < len(other) else None
        if left != right:
            yield Difference(path=f"line {number + 1}", expected=_quoted(left), got=_quoted(right))
    if one == other:
        yield Difference(path="body", expected=_quoted(expected), got=_quoted(got))


def _quoted(line: str | None) -> str:
    return MISSING if line is None else shown(line)


def _short(text: str) -> str:
    longest = 80
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
