"""The only table of status codes and of client errors."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp

from agent.message import Answer
from agent.outcome import Delivered, Misdirected, Outcome, Refused, Retry, Unauthorized
from agent.target.proxy import ProxyError
from agent.target.words import printable
from agent.tls import refused_us

_RETRY = frozenset({407, 408, 425, 429})  # 407: of a proxy on the way, which may recover
_MISDIRECTED = frozenset({403, 404, 405})


def outcome_of(
    answer: Answer, *, status: int, success: frozenset[int], generation: int = 0, after: float | None = None
) -> Outcome:
    """The table: any number an HTTP server may send as a status."""
    if status in success:
        return Delivered(answer=answer)
    if status == 401:  # noqa: PLR2004 - this table is the place of these numbers
        return Unauthorized(answer=answer, generation=generation)
    if status in _RETRY or status >= 500 or status < 200:  # noqa: PLR2004
        return Retry(answer=answer, after=after)
    # Also 2xx that the job does not call a success: to repeat or to give up could be wrong, so it waits.
    if status in _MISDIRECTED or status < 400:  # noqa: PLR2004
        return Misdirected(answer=answer)
    return Refused(answer=answer)


# The first row that fits counts: the narrow ones stand first. Reasons are for people.
_ERRORS: tuple[tuple[type[BaseException], type[Retry | Misdirected], str], ...] = (
    (aiohttp.InvalidURL, Misdirected, "not a URL that can be sent to"),
    (aiohttp.NonHttpUrlClientError, Misdirected, "not a URL that can be sent to"),
    (aiohttp.RedirectClientError, Misdirected, "redirected"),
    (aiohttp.TooManyRedirects, Misdirected, "redirected"),
    (aiohttp.ClientConnectorDNSError, Retry, "the host name cannot be resolved"),
    (aiohttp.ClientConnectorCertificateError, Retry, "TLS: the certificate is not accepted"),
    (ssl.SSLCertVerificationError, Retry, "TLS: the certificate is not accepted"),
    (aiohttp.ServerFingerprintMismatch, Retry, "TLS: the certificate is not accepted"),
    (aiohttp.ClientSSLError, Retry, "TLS: no secure connection"),
    (ssl.SSLError, Retry, "TLS: no secure connection"),
    (aiohttp.ClientProxyConnectionError, Retry, "the proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, Retry, "the proxy refused"),
    (aiohttp.ConnectionTimeoutError, Retry, "timeout while connecting"),
    (aiohttp.ServerTimeoutError, Retry, "timeout: no answer"),
    (asyncio.TimeoutError, Retry, "timeout: no complete answer"),
    (aiohttp.ServerDisconnectedError, Retry, "connection closed without an answer"),
    (aiohttp.ClientPayloadError, Retry, "the answer broke off"),
    (aiohttp.ClientResponseError, Retry, "the answer is not HTTP"),
    (ConnectionRefusedError, Retry, "connection refused"),
    (ConnectionResetError, Retry, "connection reset"),
    (BrokenPipeError, Retry, "connection reset"),
    (socket.gaierror, Retry, "the host name cannot be resolved"),
    (aiohttp.ClientConnectorError, Retry, "cannot connect"),
    (aiohttp.ClientError, Retry, "network error"),
    (OSError, Retry, "network error"),
)


def outcome_of_error(error: BaseException) -> Outcome | None:
    """The table for what the HTTP client raises; None for what is not in it: a bug, to be seen as one."""
    if refused := refused_us(error):
        reason = f"TLS: the target does not accept our certificate ({printable(refused)})"
        return Retry(answer=Answer(status=None, reason=reason))
    verdict = next(((kind, text) for each, kind, text in _ERRORS if isinstance(error, each)), None)
    if verdict is None:
        return None
    kind, reason = verdict
    if isinstance(error, ProxyError):  # says it all itself
        return kind(answer=Answer(status=None, reason=printable(error.text)))
    cause = _cause(error)
    if reason in {"cannot connect", "network error"} and isinstance(cause, OSError):
        narrow = next(text for each, _, text in _ERRORS if isinstance(cause, each))
        if narrow != "network error":
            reason = narrow
        elif cause.strerror:
            reason = printable(cause.strerror.lower())
    answer = Answer(status=None, reason=reason + _detail(cause))
    return (
        Retry(answer=answer, late=isinstance(error, asyncio.TimeoutError))
        if kind is Retry
        else kind(answer=answer)
    )


def _cause(error: BaseException) -> BaseException:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error  # it has no `os_error` before aiohttp 3.14
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error


def _detail(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError) and (said := getattr(cause, "verify_message", "")):
        return f" ({printable(said)})"
    if isinstance(cause, ssl.SSLError) and (word := getattr(cause, "reason", None)):
        return f" ({printable(str(word).replace('_', ' ').lower())})"
    return ""
