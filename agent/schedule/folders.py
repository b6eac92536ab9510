"""`watch: true`: which folders a job's globs look into, and a watch on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from agent.config.model import Job, files_of
from agent.watch import FolderWatch, Subscription

_MAGIC = frozenset("*?[")


class Closable(Protocol):
    """What `Watch` gives back."""

    def close(self) -> None:
        """No more calls."""


Watch = Callable[[Job, Callable[[], None]], Closable]
"""Calls back when the source's folders change, and once when they are watched."""


def watch_sources(watch: FolderWatch) -> Watch:
    """What the scheduler wants for `watch`, over the folder watch that all share."""

    def start(job: Job, changed: Callable[[], None]) -> Closable:
        files = files_of(job.source)
        wanted = watched_folders(files.paths if files is not None else ())
        flat = [folder for folder, recursive in wanted.items() if not recursive]
        deep = [folder for folder, recursive in wanted.items() if recursive]
        return _Both(watch.add(flat, changed), watch.add(deep, changed, recursive=True))

    return start


def watched_folders(globs: Iterable[str]) -> dict[Path, bool]:
    """The folders that absolute globs look into, and whether what lies deeper counts too."""
    found: dict[Path, bool] = {}
    for glob in globs:
        parts = Path(glob).parts
        plain = next((n for n, part in enumerate(parts) if _MAGIC & set(part)), len(parts) - 1)
        folder = Path(*parts[:plain])
        found[folder] = found.get(folder, False) or plain < len(parts) - 1
    return found


class _Both:
    def __init__(self, *subscriptions: Subscription) -> None:
        self._subscriptions = subscriptions

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()
