"""One file on its way from bytes to a value: scan, check, build."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.config.build_agent import build_settings
from agent.config.build_connection import build_connection
from agent.config.build_database import build_database
from agent.config.build_job import JobParts, build_job
from agent.config.document import Document, scan
from agent.config.files import Found, Kind, Unreadable, read
from agent.config.model import AgentSettings, Connection, Database, Job, SchemaFile, contract_of
from agent.config.relate import relate, relate_source
from agent.config.schema import check
from agent.config.view import Findings, View
from agent.errors import Problem


@dataclass(slots=True, kw_only=True)
class Piece:
    """A file and all that became of it."""

    relative: str
    kind: Kind
    shown: str
    raw: bytes = b""
    sha256: str = ""
    """Of the bytes, and of those of a schema that it names; empty when the file was not read."""
    found: Findings = field(default_factory=Findings)
    view: View | None = None
    value: AgentSettings | Connection | Database | JobParts | None = None

    @property
    def bad(self) -> bool:
        """Whether it cannot be used as it is."""
        return self.value is None or any(problem.severity == "error" for problem in self.found.problems)

    @property
    def name(self) -> str:
        """What it calls itself; its path when it has no name."""
        named = self.view.text(self.kind) if self.view and self.kind != "agent" else None
        return named or self.relative

    def refuse(self, message: str, hint: str = "") -> None:
        """It cannot be used, for a reason that lies outside of its text."""
        if self.view is not None and self.kind != "agent":
            self.found.error(self.view.at(self.kind), message, hint)
        else:
            self.found.problems.append(Problem(file=self.shown, message=message, hint=hint))

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
        if self.view is not None and isinstance(self.value, JobParts):
            if reads:
                relate_source(self.view, self.value, connections, broken, allowed)
            relate(self.view, self.value, connections, broken)

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
        return self.value.whole(file=self.shown, sha256=self.sha256)


def piece_of(found: Found, root: Path) -> Piece:
    """A file as it lies on the disk."""
    if not found.trusted:  # its folder's problem has been told, once
        return Piece(relative=found.relative, kind=found.kind, shown=found.shown)
    try:
        raw = read(found, root)
    except Unreadable as error:
        piece = Piece(relative=found.relative, kind=found.kind, shown=found.shown)
        piece.refuse(error.message, error.hint)
        return piece
    return digest(found.relative, found.kind, raw, found.shown, root)


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
        # From here on, what is found (in `relate`) belongs to the piece.
        piece.view = View.of(document.root, name, piece.found, root)
    else:
        piece.found.problems += _of(document)
    return piece


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
