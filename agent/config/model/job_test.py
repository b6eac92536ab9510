"""Tests of a job: given rows, expected requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from agent.config.model.place import Where
from agent.message import JsonValue


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenRows:
    """Records as they stand in the YAML: column → value."""

    rows: tuple[Mapping[str, JsonValue], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenFile:
    """A file that the job's source could read."""

    path: Path


Given: TypeAlias = "GivenRows | GivenFile"


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A JSON value that is expected; null is one, too."""

    value: JsonValue


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What is expected of one request; None and empty: anything will do."""

    json: Document | None = None
    xml: str | None = None
    text: str | None = None
    method: str | None = None
    url: str | None = None
    path: str | None = None
    """The end of the URL, from a slash."""
    headers: tuple[tuple[str, str], ...] = ()
    records: int | None = None
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedDead:
    """A record that becomes a dead letter."""

    reason: str
    """Some of the words of its reason."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobTest:
    """One test."""

    name: str
    given: Given
    expect: tuple[Expected, ...] = ()
    expect_dead: tuple[ExpectedDead, ...] = ()
    expect_error: str | None = None
    """Some of the words with which the whole of what is given is refused."""
    exact: bool = False
    """Whether keys that are not expected must not be there."""
    where: Where = field(compare=False)
