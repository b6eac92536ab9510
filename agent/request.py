"""Message and route → the exact HTTP request. Pure: what dry-run shows is what the target gets.

resolve(job, connection) → Route          once per job, everything that can be wrong is said here
build(route, message, …) → Request        once per attempt
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from agent import __version__
from agent.config.model import Connection, Job, Target
from agent.errors import ConfigError, Problem
from agent.message import Draft

USER_AGENT = f"push-agent/{__version__}"
MASK = "********"

RESERVED = frozenset(
    {
        *("connection", "content-encoding", "content-length", "expect", "host", "idempotency-key"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "accept-encoding"),
    }
)
"""Headers (lower case) that are the agent's: a job that set one would break the framing or a promise."""

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token, RFC 9110 5.6.2
_BAD_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 5.5: only TAB of the controls
_NOT_TYPED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # what a terminal would act upon
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")  # RFC 3986 pchar, /, query
_DOTS = re.compile(r"(?i)(?:^|/)(?:\.|%2e){1,2}(?=/|\?|$)")
_PATH_SAFE = "/?%:@!$&'()*+,;=-._~"
_SECRET_NAME = re.compile(r"(?i)auth|cookie|token|secret|password|api[-_]?key|signature|credential")


class Unaddressed(ValueError):
    """The route needs a path of each record, and this message has none: its job was changed since."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Where a job's requests go, resolved against its connection."""

    job: str
    connection: Connection
    target: Target
    url: str
    """With the path when that is the same for all records, else without it."""
    per_record_path: bool
    headers: Mapping[str, str]
    """The same for every request of the job; the job's own win over ours."""
    per_record_headers: frozenset[str] = frozenset()
    """Lower case names of the headers that each record fills."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One HTTP request, ready to send."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    secret_headers: frozenset[str] = frozenset()
    """Names of those that sign it: never shown, never stored."""
    body: bytes = field(repr=False)
    """Gzipped, as it lies in the spool."""
    gzip: bool
    """Whether it leaves gzipped; else it is decompressed first."""


def resolve(job: Job, connection: Connection) -> Route:
    """The route of a job. Raises ConfigError: no such endpoint, not a URL, a header that is ours."""
    target = job.target
    url = _base(target, connection)
    fixed_path = target.path.fixed if target.path else None
    if fixed_path is not None:
        url = _join(url, quote(fixed_path, safe=_PATH_SAFE))
    headers = {
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # an answer that cannot be a bomb
    }
    varying = set()
    for name, template in target.headers:
        _check_own_header(target, name)
        if (text := template.fixed) is None:
            varying.add(name.lower())
            continue
        if _BAD_IN_VALUE.search(text):
            raise _wrong(target, f"target.headers.{name}", "a header value holds a line break")
        # One spelling of the only header that `build` looks for.
        _put(headers, "Content-Type" if name.lower() == "content-type" else name, text)
    return Route(
        job=job.name,
        connection=connection,
        target=target,
        url=url,
        per_record_path=target.path is not None and fixed_path is None,
        headers=headers,
        per_record_headers=frozenset(varying),
    )


def build(route: Route, message: Draft, *, key: str, signature: Mapping[str, str]) -> Request:
    """The request for one message. `signature` are the session's headers; they come last and win.

    Raises ValueError for a path or header that could leave its place (CR, LF, NUL, `..`), and
    Unaddressed for a message without the path that the route needs.
    """
    headers = dict(route.headers)
    if "Content-Type" not in headers:
        headers["Content-Type"] = _clean("Content-Type", message.content_type)
    gzip = route.connection.accepts_gzip
    if gzip:
        headers["Content-Encoding"] = "gzip"
    headers["Idempotency-Key"] = key
    if message.headers and route.per_record_headers:
        for name, value in message.headers.items():
            if name.lower() in route.per_record_headers:
                _put(headers, name, _clean(name, value))
    for name, value in signature.items():
        _put(headers, name, _clean(name, value, secret=True))
    return Request(
        method=route.target.method,
        url=_join(route.url, _path_of(message)) if route.per_record_path else route.url,
        headers=headers,
        secret_headers=frozenset(signature),
        body=message.body,
        gzip=gzip,
    )


def masked(headers: Mapping[str, str], *, secret: Collection[str] = ()) -> dict[str, str]:
    """The headers as they may be shown: those in `secret`, and those whose name sounds like one, blotted."""
    hidden = {name.lower() for name in secret}
    return {
        name: MASK if name.lower() in hidden or _SECRET_NAME.search(name) else value
        for name, value in headers.items()
    }


def kept(request: Request) -> dict[str, str]:
    """The headers as a dead letter keeps them: without everything that the session added."""
    hidden = {name.lower() for name in request.secret_headers}
    rest = {name: value for name, value in request.headers.items() if name.lower() not in hidden}
    return masked(rest)


def as_curl(request: Request, *, text: str | None = None) -> str:
    """A `curl` command line for a person. Secrets are masked. `text`: the body, where it fits into one."""
    words = ["curl", "--request", request.method]
    for name, value in masked(request.headers, secret=request.secret_headers).items():
        words += ["--header", f"{name}: {value}"]
    if text is None or request.gzip or _NOT_TYPED.search(text):
        words += ["--data-binary", "@body.gz" if request.gzip else "@body"]
    else:  # --data-binary would take what begins with @ for the name of a file
        words += ["--data-raw", text]
    return shlex.join([*words, request.url])


def _base(target: Target, connection: Connection) -> str:
    if target.endpoint is not None:
        url = connection.endpoints.get(target.endpoint)
        if url is None:
            known = ", ".join(sorted(connection.endpoints)) or "none"
            problem = f"connection {connection.name} has no endpoint {target.endpoint!r}"
            raise _wrong(target, "target.endpoint", problem, hint=f"its endpoints: {known}")
    else:
        url = target.url or connection.base
    if url is None:
        raise _wrong(target, "target", "no endpoint, no url, and the connection has no url either")
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise _wrong(target, "target", f"not an http or https URL: {url!r}")
    if parts.username or parts.password:
        raise _wrong(
            target, "target", "a URL holds a user name", hint="sign in with `auth:` of the connection"
        )
    return quote(parts._replace(fragment="").geturl(), safe=_PATH_SAFE + "#[]")


def _check_own_header(target: Target, name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise _wrong(target, f"target.headers.{name}", "not a header name")
    if name.lower() in RESERVED:
        raise _wrong(target, f"target.headers.{name}", "this header is the agent's own")


def _wrong(target: Target, path: str, message: str, *, hint: str = "") -> ConfigError:
    where = target.where
    problem = Problem(
        file=where.file, line=where.line, column=where.column, path=path, message=message, hint=hint
    )
    return ConfigError((problem,))


def _path_of(message: Draft) -> str:
    path = message.path
    if path is None:
        raise Unaddressed("this message has no path: its job had none when the record was read")
    if not _PATH.fullmatch(path):
        raise ValueError(f"the path of this record is not percent-encoded: {path[:80]!r}")
    if _DOTS.search(path):
        raise ValueError(f"the path of this record would leave its place: {path[:80]!r}")
    return path


def _join(url: str, path: str) -> str:
    if not path:
        return url
    base, mark, query = url.partition("?")
    joined = f"{base.rstrip('/')}/{path.lstrip('/')}"
    if not mark:
        return joined
    return f"{joined}{'&' if '?' in path else '?'}{query}"


def _clean(name: str, value: str, *, secret: bool = False) -> str:
    if not _HEADER_NAME.fullmatch(name) or _BAD_IN_VALUE.search(value):
        shown = MASK if secret else repr(value[:80])
        raise ValueError(f"header {name!r} cannot be sent: {shown}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"header {name!r} cannot be sent: it is no valid text") from None
    return value


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header whatever the case in which its name stands there already."""
    if name not in headers:
        lower = name.lower()
        for other in headers:
            if other.lower() == lower:
                del headers[other]
                break
    headers[name] = value
