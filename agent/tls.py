"""From `tls:` of a connection to an `ssl.SSLContext`. The environment has no say in it."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import Connection, Tls
from agent.errors import ConfigError, Problem

SOON = 14 * 86_400.0
"""Seconds before a certificate's end, ours or the target's, from which on people are warned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What the files of a connection gave."""

    context: ssl.SSLContext
    ends_at: float | None
    """Wall clock: when our own certificate ends; None: there is none, or it does not say."""
    mark: str
    """Of the files' content, as it was before they were loaded."""


def load(tls: Tls) -> Loaded:
    """Blocking (reads files). Raises ConfigError when a file is missing or is not what it should be."""
    mark = mark_of(tls)
    return Loaded(context=ssl_context(tls), ends_at=_end(tls.certificate), mark=mark)


def check_files(connections: Iterable[Connection]) -> list[Problem]:
    """What is wrong with the TLS files that connections name, at their lines. Blocking (reads files)."""
    found = []
    for connection in connections:
        try:
            ssl_context(connection.tls)
        except ConfigError as error:
            found.append(_placed(connection, error.problems[0]))
    return found


def _placed(connection: Connection, problem: Problem) -> Problem:
    tls = connection.tls
    key = "ca" if tls.ca is not None and problem.file == str(tls.ca) else "certificate"
    where = tls.where.get(key, connection.where)
    return Problem(
        file=where.file,
        line=where.line,
        column=where.column,
        path=where.path,
        message=f"{problem.file}: {problem.message}",
        hint="correct the file or its name; --no-secrets does not look at it",
    )


def mark_of(tls: Tls) -> str:
    """Changes when one of the files does: times and sizes may lie. Blocking; never raises."""
    return " ".join(_digest(path) for path in (tls.ca, tls.certificate, tls.key) if path is not None)


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """How one platform's certificate is checked; TLS 1.2 or newer.

    `ca` replaces the system's authorities. SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE are ignored:
    a bare `SSLContext` logs no keys, and the system's folder is taken as OpenSSL was built.
    Blocking (reads files). Raises ConfigError when a file is missing or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _MINIMUM[tls.minimum]
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is not None:
        try:
            context.load_verify_locations(cafile=tls.ca)
        except (OSError, ValueError) as error:
            raise _unusable(tls.ca, "no PEM file of certificate authorities", error) from error
    else:
        _load_system(context)
    if tls.certificate is not None:
        try:
            # An empty password: an encrypted key is an error, never a question on a terminal.
            context.load_cert_chain(tls.certificate, tls.key, password="")
        except (OSError, ValueError) as error:
            text = "no PEM certificate with a matching, unencrypted key"
            raise _unusable(tls.certificate, text, error) from error
    return context


_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


_ALERT = re.compile(r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED)")  # RFC 8446, section 6.2


def refused_us(error: BaseException) -> str:
    """The server's words when it refuses our own certificate; "" when that is not what went wrong.

    In TLS 1.3 this comes after the handshake, in place of an answer: the request was sent, and not read.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and (alert := _ALERT.search(getattr(cause, "reason", None) or "")):
            return alert[1].replace("_", " ").lower()
        cause = cause.os_error if hasattr(cause, "os_error") else cause.__cause__ or cause.__context__
    return ""


def _load_system(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    cafile = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if cafile or capath:
        context.load_verify_locations(cafile=cafile, capath=capath)


def _unusable(path: Path, what: str, error: OSError | ValueError) -> ConfigError:
    # An SSLError is an OSError whose `strerror` is for developers.
    plain = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
    reason = getattr(error, "strerror", None) if plain else None
    return ConfigError((Problem(file=str(path), path="tls", message=reason or what),))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable ({error.strerror})"


def _end(certificate: Path | None) -> float | None:
    """When the first certificate of the file ends: it is the one that is shown."""
    if certificate is None:
        return None
    from cryptography import x509  # noqa: PLC0415 - 20 ms, seldom needed

    try:
        return x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None  # OpenSSL took it and decides; this is only for people
