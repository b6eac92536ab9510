"""One file on its way from bytes to a value: scan, check, build.

What is right is kept for the next load without its tree (`still_right`); the tree, which alone knows places,
is made again in the rare case that something outside of the file makes it wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.config.build_agent import build_settings
from agent.config.build_connection import build_connection
from agent.config.build_database import build_database
from agent.config.build_job import JobParts, build_job
from agent.config.document import Document, Tree, scan
from agent.config.files import Found, Kind, Unreadable, read
from agent.config.model import (
    AgentSettings,
    CommandSource,
    Connection,
    Database,
    HttpSource,
    Job,
    SchemaFile,
    SqlSource,
    Where,
    contract_of,
)
from agent.config.relate import relate, relate_source
from agent.config.schema import check
from agent.config.view import Findings, View
from agent.errors import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A file whose current text is in the plan."""

    kind: Kind | Literal["schema"]
    name: str
    """Of the job or connection; of agent.yaml its path; of a schema its job."""
    text: bytes
    sha256: str


@dataclass(slots=True, kw_only=True)
class Piece:
    """A file and all that became of it."""

    relative: str
    kind: Kind
    shown: str
    raw: bytes = b""
    sha256: str = ""
    """Of the bytes, and of those of a schema that it names; empty when the file was not read."""
    mark: str = ""
    """How the file lay when it was read; empty when that says too little to take it as read."""
    found: Findings = field(default_factory=Findings)
    view: View | None = None
    """Its tree, while there may be something to say of places in it."""
    value: AgentSettings | Connection | Database | JobParts | None = None
    called: str = ""
    named_at: Where | None = None
    accepted: Accepted | None = None
    """Set by `keep`."""
    _ties: tuple[tuple[str, Connection | Database | None], ...] | None = None
    """The connections that it was found to fit."""
    _whole: Job | None = None

    @property
    def bad(self) -> bool:
        """Whether it cannot be used as it is."""
        if not self.found.problems:
            return self.value is None
        return self.value is None or any(problem.severity == "error" for problem in self.found.problems)

    @property
    def name(self) -> str:
        """What it calls itself; its path when it has no name."""
        return self.called or self.relative

    def refuse(self, message: str, hint: str = "") -> None:
        """It cannot be used, for a reason that lies outside of its text."""
        if self.named_at is not None:
            self.found.error(self.named_at, message, hint)
        else:
            self.found.problems.append(Problem(file=self.shown, message=message, hint=hint))

    def keep(self) -> Accepted:
        """It is right: what is accepted by that."""
        if self.accepted is None:
            self.accepted = Accepted(kind=self.kind, name=self.name, text=self.raw, sha256=self.sha256)
        return self.accepted

    def still_right(self, marks: Mapping[str, str]) -> bool:
        """Whether it was right and lies there as it did, and so do the files of its schema."""
        if not self.mark or self.mark != marks.get(self.relative) or self.bad:
            return False
        beside = self.found.beside
        if not beside:
            return True
        lies = {path: (marks.get(path) or "").partition(" ")[0] for path in beside}
        return lies == {file.path: hashlib.sha256(file.text).hexdigest() for file in self.schema}

    def relate(
        self,
        connections: Mapping[str, Connection | Database],
        broken: Mapping[str, str],
        allowed: Collection[str] = (),
        *,
        reads: bool = True,
    ) -> None:
        """Check a job against the connections, and the programs that may run.

        `reads`: whether it will also read its source.
        """
        parts = self.value
        if not isinstance(parts, JobParts):
            return
        if self.view is None:
            ties = tuple((name, connections.get(name)) for name in _needed(parts))
            if ties == self._ties and not isinstance(parts.source, CommandSource):
                return
            said = Findings()
            nowhere = Where(file=self.shown, line=0, column=0, path="")
            view = View(Tree(line=0, column=0), nowhere, said, Path())
            _relate(view, parts, connections, broken, allowed, reads=reads)
            if not said.problems:
                self._ties = ties
                return
            # Something is wrong: now the places count.
            document = scan(self.raw, self.shown)
            assert document.root is not None
            self.view = View.of(document.root, self.shown, self.found, Path())
        _relate(self.view, parts, connections, broken, allowed, reads=reads)

    @property
    def schema(self) -> tuple[SchemaFile, ...]:
        """The files of the schema that the job's bodies must fulfil."""
        body = self.value.body if isinstance(self.value, JobParts) else None
        contract = contract_of(body)
        return contract.files if contract is not None else ()

    def job(self) -> Job | None:
        """The whole job, when nothing is wrong with it."""
        if self.bad or not isinstance(self.value, JobParts):
            return None
        if self._whole is None:
            self._whole = self.value.whole(file=self.shown, sha256=self.sha256)
        return self._whole


def piece_of(found: Found, root: Path) -> Piece:
    """A file as it lies on the disk."""
    shown = found.shown
    if not found.trusted:  # its folder's problem has been told, once
        return Piece(relative=found.relative, kind=found.kind, shown=shown)
    try:
        text = read(found, root)
    except Unreadable as error:
        piece = Piece(relative=found.relative, kind=found.kind, shown=shown)
        piece.refuse(error.message, error.hint)
        return piece
    piece = digest(found.relative, found.kind, text.raw, shown, root)
    piece.mark = text.mark
    return piece


def digest(
    relative: str,
    kind: Kind,
    raw: bytes,
    name: str,
    root: Path,
    *,
    kept: Mapping[str, bytes] | None = None,
) -> Piece:
    """The text of a file: scan → check → build. `kept`: see `Findings`."""
    piece = Piece(relative=relative, kind=kind, shown=name, raw=raw, sha256=hashlib.sha256(raw).hexdigest())
    document = scan(raw, name)
    schema_problems = check(document, kind)
    if document.root is not None:
        piece.view = View.of(document.root, name, Findings(kept=kept or {}), root)
        piece.value = _build(piece.view, kind)
        piece.found.beside |= piece.view.found.beside
        piece.sha256 = _with_schema(piece)
        piece.found.problems += _merge(schema_problems, piece.view.found.problems)
        if kind != "agent":
            piece.called, piece.named_at = piece.view.text(kind) or "", piece.view.at(kind)
        # From here on, what is found (in `relate`) belongs to the piece. What is right needs no places.
        piece.view = View.of(document.root, name, piece.found, root) if piece.bad else None
    else:
        piece.found.problems += _of(document)
    return piece


def _needed(parts: JobParts) -> Iterator[str]:
    """The connections that `relate` asks for."""
    if parts.target is not None:
        yield parts.target.connection
    if isinstance(parts.source, HttpSource | SqlSource):
        yield parts.source.connection


def _relate(
    view: View,
    parts: JobParts,
    connections: Mapping[str, Connection | Database],
    broken: Mapping[str, str],
    allowed: Collection[str],
    *,
    reads: bool,
) -> None:
    if reads:
        relate_source(view, parts, connections, broken, allowed)
    relate(view, parts, connections, broken)


def _with_schema(piece: Piece) -> str:
    """A job whose schema is another one is another job."""
    if not piece.schema:
        return piece.sha256
    whole = hashlib.sha256(piece.sha256.encode())
    for file in piece.schema:
        whole.update(hashlib.sha256(file.text).digest())
    return whole.hexdigest()


def _of(document: Document) -> list[Problem]:
    return list(document.problems)


def _build(view: View, kind: Kind) -> AgentSettings | Connection | Database | JobParts | None:
    if kind == "agent":
        return build_settings(view)
    if kind == "job":
        return build_job(view)
    return build_database(view) if view.text("type") == "database" else build_connection(view)


def _merge(schema: list[Problem], logic: list[Problem]) -> list[Problem]:
    """Both, but of one place only what the schema says: the rest would be its echo."""
    told = {(problem.line, problem.column) for problem in schema}
    return [*schema, *(problem for problem in logic if (problem.line, problem.column) not in told)]
