"""Structured logs: JSON lines for the journal, readable lines on a terminal.

    log = get_log("deliver")
    log.info("delivered", job="gps", records=500)

One event is one line, whatever the data holds: control characters are escaped, so that nobody can
forge a line (CWE-117). Values of known secrets are blotted out at the sink as a last line of
defence; the first is that nobody logs them.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Literal, TextIO, TypeAlias

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

_FIELDS = "push_agent_fields"
# Syslog priorities (RFC 5424), which systemd reads from a `<N>` prefix where the stream is the journal.
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_COLOUR = {logging.DEBUG: "2", logging.INFO: "32", logging.WARNING: "33", logging.ERROR: "31"}
BLOT = "********"
_TOKENS = 64
"""Tokens that are looked for in each line: the pairs of two renewals of sixteen connections."""


class Log:
    """Says events with fields. Cheap to make; one per module."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"push_agent.{name}")

    def debug(self, event: str, **fields: object) -> None:
        """What only a developer wants to know."""
        self._say(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What an operator wants to find afterwards."""
        self._say(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What an operator should look at some time."""
        self._say(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What an operator should look at now."""
        self._say(logging.ERROR, event, fields)

    def bug(self, event: str, error: BaseException, **fields: object) -> None:
        """An exception that nobody expected, with its traceback."""
        info = (type(error), error, error.__traceback__)
        self._logger.error(event, exc_info=info, extra={_FIELDS: fields})

    def _say(self, level: int, event: str, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={_FIELDS: fields})


def get_log(name: str) -> Log:
    """The log of one module; `name` is its word."""
    return Log(name)


class Blotter:
    """Replaces every secret it was told of, wherever it stands in a finished line."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._passing: deque[str] = deque(maxlen=_TOKENS)

    def learn(self, secret: str) -> None:
        """Blot this value out from now on. Values under 6 characters would blot ordinary words."""
        if len(secret) >= 6:  # noqa: PLR2004 - see above
            self._secrets.add(secret)
            self._secrets.add(json.dumps(secret)[1:-1])

    def learn_token(self, token: str) -> None:
        """Blot this value out for as long as it is among the newest: tokens come and go for ever."""
        if len(token) >= 6 and token not in self._passing:  # noqa: PLR2004 - as above
            self._passing.append(token)

    def forget(self) -> None:
        """Know nothing any more."""
        self._secrets.clear()
        self._passing.clear()

    def clean(self, line: str) -> str:
        """The line without any known secret; the longest first, since one may be the start of another."""
        for secret in sorted((*self._secrets, *self._passing), key=len, reverse=True):
            if secret in line:
                line = line.replace(secret, BLOT)
        return line


blotter = Blotter()
"""The one of this process: secrets learn themselves into it when they are read."""


class JsonLines(logging.Formatter):
    """One JSON object a line: `time level logger event …fields`."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("push_agent."),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = blotter.clean(json.dumps(line, default=str))
        return f"<{_PRIORITY.get(record.levelno, 6)}>{text}" if self._journal else text


class TextLines(logging.Formatter):
    """For a person: `11:02:03 INFO  deliver   delivered  job=gps records=500`."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line (and a traceback below it when there is one)."""
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = f"{record.levelname:<7}"
        if self._colour:
            level = f"\x1b[{_COLOUR.get(record.levelno, '0')}m{level}\x1b[0m"
        name = record.name.removeprefix("push_agent.")
        fields = getattr(record, _FIELDS, {})
        words = [f"{key}={_printable(value)}" for key, value in fields.items()]
        line = "  ".join([f"{clock} {level} {name:<9} {_escape(record.getMessage())}", *words])
        if record.exc_info:
            lines = self.formatException(record.exc_info).splitlines()
            line += "".join(f"\n    {_escape(text)}" for text in lines)
        return blotter.clean(line)


def _printable(value: object) -> str:
    text = _escape(str(value))
    return f'"{text}"' if " " in text or not text else text


def _escape(text: str) -> str:
    """Control characters, line separators and lone surrogates as escapes: no forged lines or colours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class _QuietStream(logging.StreamHandler[TextIO]):
    """A closed pipe or a full log disk must not stop the daemon, nor fill the log with tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        del record


def set_up_logs(
    level: Level,
    style: Literal["auto", "json", "text"],
    *,
    stream: TextIO | None = None,
) -> None:
    """Point the process's logs at `stream` (default: stderr). May be called again, at a reload."""
    out = stream or sys.stderr
    terminal = out.isatty()
    formatter: logging.Formatter
    if style == "json" or (style == "auto" and not terminal):
        formatter = JsonLines(journal=bool(os.environ.get("JOURNAL_STREAM")) and not terminal)
    else:
        formatter = TextLines(colour=terminal and "NO_COLOR" not in os.environ)
    handler = _QuietStream(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("push_agent").setLevel(level.upper())
