"""Which dead letters: the filters that `dead list`, `retry`, `drop` and `export` share."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.commands.moments import MOMENT, WAYS, moment_of, seconds_of
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.spool import Which

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = ("job", "since", "until", "older_than", "status", "reason", "key")
_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
_SPAN = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_OPTIONS = (
    click.option("--job", default="", help="Only of this job."),
    click.option("--since", metavar=MOMENT, default="", help=f"Only what died since then: {WAYS}."),
    click.option("--until", metavar=MOMENT, default="", help=f"Only what died before: {WAYS}."),
    click.option("--older-than", metavar="DURATION", default="", help="Only what died longer ago than this."),
    click.option(
        "--status",
        metavar="STATUS",
        default="",
        help="Only with this HTTP status: 422, 4xx, 400-409, none; several with commas.",
    ),
    click.option(
        "--reason",
        default="",
        help="Only with this reason: refused, misdirected, expired, bad record, damaged.",
    ),
    click.option("--key", default="", help="Only with this idempotency key, and parts of a message with it."),
)


def which_options(command: F) -> F:
    """Gives the command what the filters say, as its argument `which`."""

    @functools.wraps(command)
    def with_which(**words: Any) -> Any:  # noqa: ANN401 - click's own
        said = {name: words.pop(name) for name in _NAMES}
        return command(which=which_of(**said), **words)

    found: Any = with_which
    for option in reversed(_OPTIONS):
        found = option(found)
    return found  # type: ignore[no-any-return]


def which_of(  # noqa: PLR0917 - one for each option
    job: str, since: str, until: str, older_than: str, status: str, reason: str, key: str
) -> Which:
    """What was asked for. Raises UsageError."""
    from agent.spool import Which  # noqa: PLC0415 - sqlalchemy costs 250 ms

    now = time.time()
    ends = [moment_of("--until", until, now)] if until else []
    if older_than:
        ends.append(now - seconds_of("--older-than", older_than))
    which = Which(
        job=job,
        reason=reason,
        key=key,
        died_from=moment_of("--since", since, now) if since else None,
        died_before=min(ends) if ends else None,
    )
    return _with_status(which, status) if status else which


def _with_status(which: Which, text: str) -> Which:
    spans, unanswered = [], False
    for word in text.split(","):
        given = word.strip()
        if given.lower() == "none":
            unanswered = True
        elif one := _CLASS.fullmatch(given):
            spans.append((int(one[1]) * 100, int(one[1]) * 100 + 99))
        elif span := _SPAN.fullmatch(given):
            spans.append((int(span[1]), int(span[2] or span[1])))
        else:
            hint = "write 422, 4xx, 400-409 or none; several with commas"
            raise UsageError(f"--status {given!r} is no HTTP status", hint=hint)
    return replace(which, statuses=tuple(spans), unanswered=unanswered)
