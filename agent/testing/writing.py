"""A test written from the first records of a source: it passes as it is, and is there to be changed.

records → YAML → read back → requests, twice → what was the same both times → YAML → run once more
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.config.build_tests import build_tests
from agent.config.document import scan
from agent.config.model import Connection, FileSource, Job, JobTest, RawBody
from agent.config.view import Findings, View
from agent.errors import AgentError
from agent.message import Draft, JsonValue
from agent.render import Context
from agent.request import Request, resolve
from agent.testing.compare import shown
from agent.testing.report import place
from agent.testing.trial import make, run_test
from agent.testing.verdict import Made
from agent.testing.yaml_text import block, flow, key_text, scalar, text_block, writable

LONGEST_TEXT = 10_000
"""Characters of a body that a test holds as text."""
_GONE: Final = object()


def write_test(
    job: Job,
    connection: Connection,
    given: Sequence[Mapping[str, JsonValue]] | Path,
    ctx: Context,
    *,
    name: str,
) -> str:
    """A test as YAML, from `tests:` on. `given`: records, or the file of a source of whole files.

    What differs from run to run, such as `now()`, is not expected. Raises AgentError where none can be made.
    """
    head = [
        "tests:",
        f"  - name: {scalar(name)}",
        *(
            [f"    given: {{file: {scalar(str(given))}}}"]
            if isinstance(given, Path)
            else ["    given:", *(f"      - {flow(_row(row))}" for row in given)]
        ),
    ]
    test = _read([*head, "    expect: []"], job)
    first, second = (make(job, connection, test.given, ctx) for _ in range(2))
    text = "\n".join([*head, *_expected(job, connection, first, second)]) + "\n"
    result = run_test(job, connection, _read(text.splitlines(), job), ctx)
    if not result.passed:
        one = result.failures[0]
        said = f"{place(one)}: expected {one.expected}, got {one.got}"
        raise AgentError(f"no test that passes can be made of these records: {said}")
    return text


def _row(row: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Numbers of too many digits for YAML as text."""
    return {key: value if writable(value) else str(value) for key, value in row.items()}


def _read(lines: Sequence[str], job: Job) -> JobTest:
    """As the config would read it."""
    kind = "file" if isinstance(job.source, FileSource) else "csv"
    document = scan("\n".join([f"source: {{type: {kind}}}", *lines, ""]).encode(), "the test")
    problems = list(document.problems)
    if document.root is not None:
        found = Findings()
        view = View.of(document.root, "the test", found, Path("/"))
        tests = build_tests(view, Path("/"))
        problems += found.problems
        if len(tests) == 1 and not problems:
            return tests[0]
    said = problems[0].message if problems else "it holds no test"
    raise AgentError(f"these records cannot be written as YAML: {said}", hint="use `given: {file: …}`")


def _expected(job: Job, connection: Connection, first: Made, second: Made) -> Iterator[str]:
    if first.error is not None:
        said = first.error.message.splitlines()[0]
        yield f"    expect_error: {scalar(said)}"
        return
    yield "    expect:" if first.requests else "    expect: []"
    for (draft, request), (other, _) in zip(first.requests, second.requests, strict=True):
        lines = list(_request(job, connection, draft, other, request))
        if not lines:
            yield "      - {}"
        for number, line in enumerate(lines):
            yield f"      {'- ' if number == 0 else '  '}{line}"
    if first.dead:
        yield "    expect_dead:"
        for record in first.dead:
            yield f"      - reason: {scalar(record.reason)}"


def _request(job: Job, connection: Connection, draft: Draft, other: Draft, request: Request) -> Iterator[str]:
    """The lines of one request, without their indentation."""
    route = resolve(job, connection)
    if draft.path is not None and draft.path == other.path:
        parts = urlsplit(request.url)
        yield f"path: {scalar(f'{parts.path}?{parts.query}' if parts.query else parts.path)}"
    if route.per_record_headers and draft.headers == other.headers:
        headers = ", ".join(f"{key_text(name)}: {scalar(value)}" for name, value in draft.headers.items())
        yield f"headers: {{{headers}}}"
    body = _text(draft)
    if body is None or (isinstance(job.body, RawBody) and body != _text(other)):
        return
    if "json" in draft.content_type and not _is_lines(body):
        value = _same(json.loads(body), json.loads(_text(other) or "null"))
        if value is not _GONE:
            yield from _under("json", value)
    elif body == _text(other) and len(body) <= LONGEST_TEXT:
        first, *rest = text_block(body, 4)
        yield f"{'xml' if body.startswith('<') else 'text'}: {first}"
        yield from (line[2:] if line else line for line in rest)


def _is_lines(body: str) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return True
    return False


def _text(draft: Draft) -> str | None:
    try:
        return gzip.decompress(draft.body).decode()
    except UnicodeDecodeError:
        return None


def _under(key: str, value: object) -> Iterator[str]:
    lines = list(block(value, 2))  # type: ignore[arg-type] # without _GONE it is a JSON value
    if lines == ["  " + flow(value)]:  # type: ignore[arg-type]
        yield f"{key}: {lines[0].strip()}"
    else:
        yield f"{key}:"
        yield from lines


def _same(one: JsonValue, other: JsonValue) -> object:
    """What is the same in both and can be written; _GONE where nothing is left of it."""
    if isinstance(one, dict) and isinstance(other, dict):
        kept = {key: _same(value, other.get(key)) for key, value in one.items()}
        return {key: value for key, value in kept.items() if value is not _GONE}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        items = [_same(a, b) for a, b in zip(one, other, strict=True)]
        return _GONE if any(item is _GONE for item in items) else items
    if isinstance(one, dict | list) or shown(one) != shown(other) or not writable(one):
        return _GONE
    return one
