"""What was sent for each key (`only: {changed_by: …}`): which files of marks the job's cursor names.

    {"files": [{"file": 12, …, "row": 5000, "marks": {"name": "07….parquet", …}}],
     "seen": [{"name": "9f….parquet", "rows": null, "by": ["id"], …}]}

`seen` are the layers of `agent.sources.key_marks`: one whole file, and parts of readings that were given up
when some of their records had left. A part is `marks` of its file's entry until then: a reading that goes on
does not look at it, since it picks the same records again and passes over those that are spooled. The files
lie in STATE/seen/JOB; one that no cursor names is swept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.model import Job, only_of
from agent.logs import get_log
from agent.message import Cursor, JsonValue
from agent.sources.seen import Layer, Marks, Seen
from agent.spool import Spool

log = get_log("collect")

FOLDER = "seen"
_PIECE = 1 << 20
_GONE = "gone"
_KEPT = 7 * 86_400.0
"""Seconds that the marks of a job outlive it."""


@dataclass(kw_only=True, slots=True)
class Known:
    """The layers of a job. Every change of `layers` is durable when a cursor with it is."""

    folder: Path
    by: tuple[str, ...]
    layers: list[dict[str, JsonValue]] = field(default_factory=list)

    def seen(self, *, parts: bool = True) -> Seen:
        """For the rendering. `parts`: whether some of a reading may be visible before all of it is."""
        layers = tuple(layer_of(self.folder, one) for one in self.layers)
        return Seen(layers=layers, keep=self.folder, parts=parts)

    def turn(self, marks: Marks | None, cursor: Cursor) -> Cursor:
        """Know what a whole reading came to (None: what was known before); the cursor with it."""
        if marks is not None:
            self.layers = [self.entry(marks)]
        return self.into(cursor)

    def into(self, cursor: Cursor) -> Cursor:
        """A cursor with the layers."""
        seen: list[JsonValue] = list(self.layers)
        return {**cursor, "seen": seen} if seen else cursor

    def entry(self, marks: Marks) -> dict[str, JsonValue]:
        """New marks, as they are kept in the cursor."""
        path = self.folder / marks.name
        by: list[JsonValue] = list(self.by)
        return {
            "name": marks.name,
            "by": by,
            "keys": marks.keys,
            "rows": None,
            "size": path.stat().st_size,
            "sha256": _sha256(path),
        }

    def counts(self, marks: object) -> bool:
        """Whether the marks of a part that a cursor names can be used."""
        return not _wrong(marks, self.folder, self.by)

    def sweep(self, others: Sequence[dict[str, JsonValue]] = ()) -> None:
        """Delete files that neither the layers nor `others` (entries of open files) name."""
        named = {str(one["name"]) for one in (*self.layers, *others)}
        for path in self.folder.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)


def layer_of(folder: Path, entry: dict[str, JsonValue]) -> Layer:
    """An entry of the cursor as a value."""
    rows = entry.get("rows")
    return Layer(
        path=folder / str(entry["name"]),
        rows=rows if isinstance(rows, int) else None,
        keys=entry.get("keys") is True,
    )


def layers_of(cursor: object, folder: Path, by: tuple[str, ...]) -> tuple[list[dict[str, JsonValue]], str]:
    """The layers that a cursor names and that are whole and of this key; and why others are not.

    Without its marks a record counts as never sent: it is sent again, nothing is lost.
    """
    found: list[dict[str, JsonValue]] = []
    why = ""
    for one in cursor if isinstance(cursor, list) else []:
        wrong = _wrong(one, folder, by)
        if wrong:
            why = wrong
        else:
            found.append(one)
    return found, why


def _wrong(entry: object, folder: Path, by: tuple[str, ...]) -> str:
    if not isinstance(entry, dict) or "name" not in entry:
        return "the cursor cannot be read"
    if entry.get("by") != list(by):
        return "`changed_by` names other columns now"
    path = folder / str(entry["name"])
    try:
        if path.stat().st_size == entry.get("size") and _sha256(path) == entry.get("sha256"):
            return ""
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return f"{path} is damaged"


def load_known(job: Job, spool: Spool) -> Known | None:
    """What was sent for each key; None for a job that sends all records."""
    only = only_of(job.source)
    folder = spool.folder / FOLDER / job.name
    if only is None:
        if folder.is_dir():  # what is sent without marks makes them wrong: they are not named any more
            Known(folder=folder, by=()).sweep()
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cursor = spool.cursor(job.name).result() or {}
    layers, why = layers_of(cursor.get("seen"), folder, only.changed_by)
    if why:
        log.warning(
            "what was sent before is not known any more: all records are sent", job=job.name, reason=why
        )
    return Known(folder=folder, by=only.changed_by, layers=layers)


def sweep_gone(state: Path, jobs: Collection[str], now: float) -> None:
    """Delete what is known for jobs that have been gone for a week. Blocks.

    `jobs`: those that there are, and those whose messages still wait. A file in the folder tells since when
    the job has been gone; the next run of one that is back removes it.
    """
    folders = [path for path in (state / FOLDER).glob("*") if path.is_dir() and path.name not in jobs]
    for folder in folders:
        gone = folder / _GONE
        if not gone.exists():
            gone.touch()
            os.utime(gone, (now, now))
        elif now - gone.stat().st_mtime > _KEPT:
            shutil.rmtree(folder, ignore_errors=True)
            log.info("what was known for a job that is gone is deleted", job=folder.name)
    for folder in (state / FOLDER).glob("*"):
        if folder.name in jobs:
            (folder / _GONE).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
