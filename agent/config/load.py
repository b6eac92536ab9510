"""A config folder → a plan and everything that is wrong with it.

    find → read → scan → check → build → relate

One file's errors never harm another file: the plan holds whatever is right. Where a file is wrong
and `last_good` knows the text that was accepted before, that version stays in the plan.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.files import FOLDERS, Found, Kind, Listing, find, shown
from agent.config.model import AgentSettings, Connection, Database, Job, Plan
from agent.config.piece import Accepted, Piece, digest, piece_of
from agent.errors import Problem

SCHEMA_OF = "#"
"""Between a job's path and that of a file of its schema: `jobs/gps.yaml#/etc/push-agent/event.json`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What a load need not read again: what the last one found right, where it lies as it lay then."""

    right: Mapping[str, Piece] = field(default_factory=dict)
    """`Loaded.right` of that load."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """How files lie now (`agent.config.files.mark_of`), of the config and of schemas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What a config folder holds at one moment. Paths are relative to it: `jobs/gps.yaml`."""

    plan: Plan
    problems: tuple[Problem, ...] = ()
    """Errors and warnings of all files, by file and line."""
    accepted: Mapping[str, Accepted] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    """Files that are wrong now and run on with their last good text."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Every file that was read → the sha-256 of its bytes, right or wrong."""
    beside: frozenset[str] = frozenset()
    """Absolute paths of the schemas that jobs name, also of those that are not there."""
    right: Mapping[str, Piece] = field(default_factory=dict)
    """What nothing is wrong with: see `Known`."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are no mere warnings."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def load(folder: Path, *, last_good: Mapping[str, bytes] | None = None, known: Known | None = None) -> Loaded:
    """Read a whole config folder. Never raises for what lies in it; blocking, and for a thread.

    `known`: files that are not read again. Whatever depends on other files is found anew all the same.
    """
    return _Loading(folder, last_good or {}, known or Known()).run()


def load_settings(folder: Path) -> AgentSettings:
    """agent.yaml alone. Where it is wrong or missing, the defaults."""
    root = folder.absolute()
    for found in find(root).found:
        if found.kind == "agent":
            piece = piece_of(found, root)
            if not piece.bad and isinstance(piece.value, AgentSettings):
                return piece.value
    return AgentSettings()


class _Loading:
    """One load. The steps are in `run`; each puts its part into a field."""

    def __init__(self, folder: Path, last_good: Mapping[str, bytes], known: Known) -> None:
        self._folder = folder
        self._known = known
        self._root = folder.absolute()
        self._last_good = {path: text for path, text in last_good.items() if SCHEMA_OF not in path}
        self._schemas = {path: text for path, text in last_good.items() if SCHEMA_OF in path}
        self._pieces: list[Piece] = []
        self._kept: list[Piece] = []
        self._connections: dict[str, Connection] = {}
        self._databases: dict[str, Database] = {}
        self._jobs: dict[str, Job] = {}
        self._settings = AgentSettings()

    def run(self) -> Loaded:
        listing = find(self._folder, self._last_good)
        self._pieces = [self._piece(found) for found in listing.found]
        self._pieces += self._lost(listing)
        self._choose_settings()
        self._choose_connections()
        self._choose_jobs()
        return self._loaded(listing)

    def _piece(self, found: Found) -> Piece:
        piece = self._known.right.get(found.relative)
        if piece is not None and found.trusted and piece.still_right(self._known.marks):
            return piece
        return piece_of(found, self._root)

    def _lost(self, listing: Listing) -> list[Piece]:
        """Files that were there before and whose folder cannot be listed now."""
        if not listing.lost:
            return []
        there = {found.relative for found in listing.found}
        return [
            Piece(relative=path, kind=_kind(path), shown=shown(self._folder / path))
            for path in sorted(self._last_good)
            if path.startswith(listing.lost) and path not in there
        ]

    def _of(self, kind: Kind) -> list[Piece]:
        return [piece for piece in self._pieces if piece.kind == kind]

    def _last(self, piece: Piece) -> Piece | None:
        """The last good version of a file that is wrong now; None when there is none."""
        raw = self._last_good.get(piece.relative)
        if raw is None:
            return None
        mark = f"{piece.relative}{SCHEMA_OF}"
        kept = {
            path.removeprefix(mark): text for path, text in self._schemas.items() if path.startswith(mark)
        }
        last = digest(piece.relative, piece.kind, raw, piece.shown, self._root, kept=kept)
        return None if last.bad else last

    def _choose_settings(self) -> None:
        for piece in self._of("agent"):
            chosen = self._last(piece) if piece.bad else piece
            if chosen is not None and isinstance(chosen.value, AgentSettings):
                self._settings = chosen.value
                if chosen is not piece:
                    self._kept.append(chosen)

    def _choose_connections(self) -> None:
        pieces = self._of("connection")
        _refuse_twins(pieces)
        kept = [last for piece in pieces if piece.bad and (last := self._last(piece))]
        for piece in self._without_clash(pieces, kept):
            if isinstance(piece.value, Connection):
                self._connections[piece.value.name] = piece.value
            elif isinstance(piece.value, Database):
                self._databases[piece.value.name] = piece.value

    def _choose_jobs(self) -> None:
        pieces = self._of("job")
        broken = {piece.name: piece.shown for piece in self._of("connection") if piece.bad}
        every: dict[str, Connection | Database] = {**self._connections, **self._databases}
        for piece in pieces:
            piece.relate(every, broken, self._settings.commands_allow)
        _refuse_twins(pieces)
        kept = []
        for piece in pieces:
            last = self._last(piece) if piece.bad else None
            if last is not None:
                last.relate(every, broken, self._settings.commands_allow)
                kept += [] if last.bad else [last]
        for piece in self._without_clash(pieces, kept):
            job = piece.job()
            if job is not None:
                self._jobs[job.name] = job

    def _without_clash(self, pieces: list[Piece], kept: list[Piece]) -> list[Piece]:
        """The pieces to use. What runs already keeps its name against a newcomer."""
        chosen: dict[str, Piece] = {}
        for last in kept:
            if last.name not in chosen:
                chosen[last.name] = last
                self._kept.append(last)
        for piece in pieces:
            if piece.bad:
                continue
            before = chosen.get(piece.name)
            if before is not None and before.relative != piece.relative:
                where = f"{before.shown}, which is wrong now and runs on with its last good version"
                piece.refuse(
                    f"the {piece.kind} {piece.name} is also in {where}", "repair or delete that file"
                )
                continue
            chosen[piece.name] = piece
        return list(chosen.values())

    def _loaded(self, listing: Listing) -> Loaded:
        problems = [
            *listing.problems,
            *(problem for piece in self._pieces for problem in piece.found.problems),
        ]
        problems.sort(key=lambda one: (one.file, one.line, one.column, one.path, one.message))
        right = {piece.relative: piece for piece in self._pieces if not piece.bad}
        accepted = {path: piece.keep() for path, piece in right.items()}
        for piece in right.values():
            if piece.found.beside:
                accepted |= _schemas_of(piece)
        return Loaded(
            plan=Plan(
                settings=self._settings,
                connections=self._connections,
                databases=self._databases,
                jobs=self._jobs,
            ),
            problems=tuple(dict.fromkeys(problems)),
            accepted=accepted,
            kept=frozenset(piece.relative for piece in self._kept),
            files={piece.relative: piece.sha256 for piece in self._pieces if piece.sha256},
            beside=frozenset().union(*(piece.found.beside for piece in self._pieces)),
            right=right,
        )


def _schemas_of(piece: Piece) -> dict[str, Accepted]:
    """The files of a job's schema, each for this job alone: others may be right with another version."""
    return {
        f"{piece.relative}{SCHEMA_OF}{file.path}": Accepted(
            kind="schema", name=piece.name, text=file.text, sha256=hashlib.sha256(file.text).hexdigest()
        )
        for file in piece.schema
    }


def _refuse_twins(pieces: list[Piece]) -> None:
    """Two files with one name: neither is right, whichever was read first."""
    named = defaultdict(list)
    for piece in pieces:
        if not piece.bad:
            named[piece.name].append(piece)
    for name, twins in named.items():
        for piece in twins if len(twins) > 1 else ():
            others = ", ".join(twin.shown for twin in twins if twin is not piece)
            piece.refuse(f"the {piece.kind} {name} is also in {others}", "give each its own name")


def _kind(relative: str) -> Kind:
    return FOLDERS.get(relative.partition("/")[0], "agent")
