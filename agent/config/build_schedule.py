"""`schedule:` → Schedule, with the checks of times that a schema cannot make."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from agent.config.cron import cron_trouble
from agent.config.document import Tree
from agent.config.model import Schedule, Where
from agent.config.view import View
from agent.config.words import did_you_mean

_ONE = ("every", "cron", "at")
_NONE = timedelta(0)
_SHORTEST = timedelta(seconds=1)
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(?::[0-9]{2})?")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,6})?(?:[Zz]|[-+][0-9]{2}:[0-9]{2})?"
)


def build_schedules(job: View) -> tuple[Schedule, ...]:
    """One schedule or a list of them."""
    views = (
        View(node, where, job.found, job.folder)
        for node, where in job.items("schedule")
        if isinstance(node, Tree)
    )
    return tuple(_schedule(view) for view in views)


def _schedule(view: View) -> Schedule:
    default = Schedule(where=view.where)
    schedule = Schedule(
        every=view.duration("every", _NONE) if "every" in view else None,
        cron=view.text("cron"),
        at=view.texts("at"),
        watch=view.flag("watch", default=default.watch),
        timezone=view.text("timezone") or default.timezone,
        jitter=view.duration("jitter", default.jitter),
        missed=view.word("missed", default.missed),
        overlap=view.word("overlap", default.overlap),
        dst=view.word("dst", default.dst),
        where=view.where,
    )
    _check_choice(view)
    _check_every(view, schedule)
    _check_cron(view, schedule)
    _check_at(view)
    _check_timezone(view, schedule)
    return schedule


def _check_choice(view: View) -> None:
    given = [key for key in _ONE if key in view]
    # A `watch` that is neither true nor false is the schema's to tell.
    watches = "watch" in view and view.flag("watch", default=True)
    if len(given) > 1:
        hint = "make it a list: one item for each"
        view.found.error(view.at(given[1]), f"{given[1]} cannot stand beside {given[0]}", hint)
    elif not given and not watches and view.tree.entries and set(view.tree.entries) <= _KEYS:
        # An empty mapping and a misspelt key are the schema\'s to tell.
        view.found.error(view.where, "does not say when to run", "add one of every, cron, at, or watch: true")


_KEYS = frozenset({*_ONE, "watch", "timezone", "jitter", "missed", "overlap", "dst"})


def _check_every(view: View, schedule: Schedule) -> None:
    if schedule.every is None or schedule.every == _NONE:
        return
    if schedule.every < _SHORTEST:
        view.found.error(
            view.at("every"), "is shorter than a second", "write at least 1s; watch: true reacts at once"
        )
    if schedule.jitter > schedule.every:
        view.found.error(
            view.at("jitter"), "is longer than the time between two runs", "make it shorter than `every`"
        )


def _check_cron(view: View, schedule: Schedule) -> None:
    wrong = cron_trouble(schedule.cron) if schedule.cron is not None and schedule.cron.strip() else None
    if wrong:
        view.found.error(view.at("cron"), *wrong)


def _check_at(view: View) -> None:
    for (_, where), text in zip(view.items("at"), view.texts("at"), strict=False):
        if not _is_moment(text):
            hint = 'write "12:30" for each day, or "2026-12-01T06:00:00+01:00" for once'
            view.found.error(where, f'"{text}" is no time', hint)


def _is_moment(text: str) -> bool:
    try:
        if _TIME.fullmatch(text):
            time.fromisoformat(text)
            return True
        if _DATE_TIME.fullmatch(text):
            datetime.fromisoformat(text.upper())
            return True
    except ValueError:
        pass
    return False


def _check_timezone(view: View, schedule: Schedule) -> None:
    if not _is_zone(schedule.timezone):
        where: Where = view.at("timezone")
        hint = did_you_mean(
            schedule.timezone, available_timezones(), otherwise="for example Europe/Amsterdam"
        )
        view.found.error(where, f'there is no time zone "{schedule.timezone}"', hint)


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder is an OSError
        return False
    return True
