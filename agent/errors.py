"""Every error that push-agent raises on purpose.

    AgentError                  exit 1    something could not be done; has a hint
    ├── UsageError              exit 2    the command line makes no sense
    ├── ConfigError             exit 78   one or more files of the config are wrong (EX_CONFIG)
    ├── SecretError             exit 78   a secret is missing, empty, or readable by others
    ├── StateError              exit 78   the state folder or database cannot be used
    │   ├── StateLocked         exit 75   another process owns the state folder (EX_TEMPFAIL)
    │   └── SpoolFull           exit 75   the spool is at its limit; collecting waits
    ├── SourceError             exit 1    a source cannot be read or does not hold what the job says
    │   └── RecordError         exit 1    one record of it is bad; says where
    ├── NotSignedIn             exit 75   no valid token now; says why and when the next try is
    └── ControlError            exit 69   the daemon cannot be reached or refused (EX_UNAVAILABLE)

Only the command line turns them into exit codes, in one place. The text of an error is for people:
what is wrong, then (in `hint`) what to do. No text ever holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EXIT_CONFIG = 78
EXIT_TEMPORARY = 75
EXIT_UNAVAILABLE = 69
EXIT_USAGE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong with a file of the config, as a person is told it."""

    file: str
    """The path as the user would write it."""
    line: int = 0
    """From 1; 0 when the problem is with the file as a whole."""
    column: int = 0
    """From 1; 0 when unknown."""
    path: str = ""
    """Where in the document, in the user's words: `target.endpoint`, `schedule[1].cron`."""
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        words = [place, self.path, self.message] if self.path else [place, self.message]
        text = ": ".join(words)
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class AgentError(Exception):
    """The base of them all. `hint` says what the reader can do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AgentError):
    """The command line makes no sense."""

    exit_code = EXIT_USAGE


def no_connection(name: str, known: Iterable[str], config: Path | None = None) -> UsageError:
    """There is no such connection (in this config); perhaps another one was meant."""
    import difflib  # noqa: PLC0415 - only for a typo

    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the connections there are: {', '.join(names) or 'none'}"
    place = f" in {config}" if config is not None else ""
    return UsageError(f"there is no connection {name!r}{place}", hint=hint)


class ConfigError(AgentError):
    """One or more files of the config are wrong; `problems` holds all of them."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: tuple[Problem, ...], *, message: str = "") -> None:
        super().__init__(message or "\n".join(str(problem) for problem in problems))
        self.problems = problems


class SecretError(AgentError):
    """A secret is missing, empty, or readable by others. Never says its value."""

    exit_code = EXIT_CONFIG


class StateError(AgentError):
    """The state folder or its database cannot be used."""

    exit_code = EXIT_CONFIG


class StateLocked(StateError):
    """Another process owns the state folder."""

    exit_code = EXIT_TEMPORARY


class SpoolFull(StateError):
    """The spool is at its limit or the disk is full: nothing was appended, nothing is lost.

    `limit`: `job` when it is that job's own and others may go on, `all` for the number of all messages,
    "" for the disk and the size of the database.
    """

    exit_code = EXIT_TEMPORARY

    def __init__(self, message: str, *, hint: str = "", limit: Literal["", "job", "all"] = "") -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


class SourceError(AgentError):
    """A source cannot be read, or does not hold what the job says.

    `lasting` is True when trying again cannot help until the source or the job changes.
    """

    def __init__(self, message: str, *, hint: str = "", lasting: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.lasting = lasting


class RecordError(SourceError):
    """One record of a source is bad; the message names the file, the line and the column."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, lasting=True)


class NotSignedIn(AgentError):
    """There is no valid token now. `retry_after` is in seconds, None when only a change helps."""

    exit_code = EXIT_TEMPORARY

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class ControlError(AgentError):
    """The daemon cannot be reached, or refused what it was asked."""

    exit_code = EXIT_UNAVAILABLE
