"""A dead letter for a person, and for a program."""

from __future__ import annotations

import base64
import gzip
import json
import shlex
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.commands.dead_text import format_of, pretty
from agent.commands.screen import moment, note, size, table
from agent.phrases import counted, number

if TYPE_CHECKING:
    from agent.message import DeadLetter
    from agent.spool import Before

BODY_SHOWN = 4_000


def time_of(seconds: float) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(letter: DeadLetter) -> bytes:
    """Its body as it was sent; one that was damaged on the disk as it lies there."""
    try:
        return gzip.decompress(letter.body) if letter.body else b""
    except (OSError, EOFError, zlib.error):
        return letter.body


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """All but the body."""
    return {
        "id": letter.id,
        "job": letter.job,
        "key": letter.key,
        "reason": letter.reason,
        "records": letter.records,
        "size": letter.size,
        "origin": letter.origin,
        "spooled_at": time_of(letter.spooled_at),
        "died_at": time_of(letter.died_at),
        "edited_at": None if letter.edited_at is None else time_of(letter.edited_at),
        "attempts": letter.attempts,
        "sendable": letter.sendable,
        "content_type": letter.content_type,
        "request": {"method": letter.method, "url": letter.url, "headers": dict(letter.headers)},
        "answer": {
            "status": letter.answer.status,
            "reason": letter.answer.reason,
            "headers": dict(letter.answer.headers),
            "body": letter.answer.body,
        },
    }


def body_json(body: bytes) -> dict[str, str]:
    """A text as a text, all else in base64."""
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def as_table(letters: list[DeadLetter]) -> str:
    """A line for each."""
    heads = ("ID", "DIED", "JOB", "REASON", "ANSWER", "RECORDS", "SIZE", "FROM")
    rows = [
        (
            str(letter.id),
            moment(time_of(letter.died_at)),
            letter.job,
            letter.reason + (", edited" if letter.edited_at is not None else ""),
            _one_line(letter.answer.reason),
            number(letter.records),
            size(letter.size),
            _one_line(letter.origin),
        )
        for letter in letters
    ]
    return table(heads, rows, right=frozenset({0, 5, 6}))


def as_text(letter: DeadLetter, before: Before | None, *, laid_out: bool) -> str:
    """The request as it was sent, and the answer. `laid_out`: the body for the eye."""
    spooled, died = moment(time_of(letter.spooled_at)), moment(time_of(letter.died_at))
    lines = [
        f"dead letter {letter.id} of {letter.job}: {letter.reason}",
        f"from {printable(letter.origin)}, {counted(letter.records, 'record')}",
        f"spooled {spooled}, died {died} after {counted(letter.attempts, 'attempt')}",
        *_edited(letter, before),
        "",
        f"{letter.method} {letter.url}" if letter.method else "it never became a request; the record was:",
        f"Content-Type: {printable(letter.content_type)}",
        f"Idempotency-Key: {letter.key}",
        *[
            printable(f"{name}: {value}")
            for name, value in letter.headers.items()
            if name.lower() not in {"content-type", "idempotency-key"}
        ],
        "",
        _shown(plain(letter), format_of(letter.content_type) if laid_out else ""),
        "",
        note("answer: ") + printable(letter.answer.reason),
        *[printable(f"{name}: {value}") for name, value in letter.answer.headers.items()],
        "",
        printable(letter.answer.body),
        *_next(letter),
    ]
    return "\n".join(lines)


def as_curl(letter: DeadLetter) -> str:
    """The request for a shell, without what signs it in: that lies in no dead letter."""
    words = ["curl", "--request", letter.method]
    headers = {"Content-Type": letter.content_type, **letter.headers, "Idempotency-Key": letter.key}
    unique = {name.lower(): (name, value) for name, value in headers.items()}
    unique.pop("content-encoding", None)  # what comes out of the pipe is plain
    for name, value in unique.values():
        words += ["--header", f"{name}: {value}"]
    command = shlex.join([*words, "--data-binary", "@-", letter.url])
    return f"push-agent dead show {letter.id} --body | {command}"


def printable(text: str) -> str:
    """Line breaks stay; other control characters cannot play with the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ")


def _edited(letter: DeadLetter, before: Before | None) -> list[str]:
    if before is None:
        return []
    at = moment(time_of(before.edited_at))
    words = f"edited {at}; it died as {before.key} with {counted(before.size, 'byte')}"
    return [note(words) + f": push-agent dead edit {letter.id} --undo"]


def _next(letter: DeadLetter) -> list[str]:
    if not letter.sendable:
        return ["", f"it cannot be sent again; forget it: push-agent dead drop {letter.id}"]
    return ["", f"send it again: push-agent dead retry {letter.id}"]


def _shown(body: bytes, kind: str) -> str:
    if b"\0" in body[:BODY_SHOWN]:
        return f"{counted(len(body), 'byte')} that are no text (--body gives them as they are)"
    rest = len(body) - BODY_SHOWN
    if rest <= 0:
        text = body.decode(errors="replace")
        return printable(pretty(text, kind) if kind else text)
    # What ends in the middle of a character ends before it.
    text = body[:BODY_SHOWN].decode(errors="ignore" if _is_text(body) else "replace")
    return f"{printable(text)}\n… {rest:,} more bytes (--body gives all, as they are)"


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
