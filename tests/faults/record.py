"""What happened, in one order: what was put in, what the target got, who was killed when.

Everything here is written by the harness's own event loop, so one counter orders it all.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

Record: TypeAlias = "tuple[str, int]"
"""(the key that its order is by, its number in its source)"""


@dataclass(kw_only=True)
class Row:
    """One request that the target read whole."""

    tick: int
    path: str
    key: str
    body_sha: str
    records: tuple[Record, ...]
    life: int
    """Of the daemon that opened the connection, from 1."""
    port: int
    """Names the connection, between proxy and target."""
    token: int
    """The serial of the access token that it carried; 0: none that is good."""
    status: int = 0
    """0: never answered."""
    processed: bool = False
    clean: bool = False
    """A good answer was written to the end."""


@dataclass(kw_only=True)
class Asked:
    """One call of the Auth API."""

    tick: int
    life: int
    what: str
    """`login` or `refresh`."""
    status: int
    shown: int
    """The serial of the refresh token that was shown; 0 at a login."""
    given: int
    """The serial of the new pair; 0: none."""


@dataclass(kw_only=True)
class Death:
    """How one life ended."""

    tick: int
    life: int
    how: str
    code: int


@dataclass(kw_only=True)
class Disturbed:
    """The proxy did something to a connection."""

    tick: int
    port: int
    how: str


@dataclass(kw_only=True)
class History:
    """All of it."""

    sources: dict[str, list[Record]] = field(default_factory=dict)
    """What was put in, in order, by the path where it must arrive."""
    bad: set[tuple[str, int]] = field(default_factory=set)
    """(path, number) of records that the target refuses."""
    rows: list[Row] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    disturbed: list[Disturbed] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    lanes: dict[str, int] = field(default_factory=dict)
    """The most lanes that the job of a path had."""
    life: int = 0
    _ticks: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def tick(self) -> int:
        return next(self._ticks)

    def step(self, what: str) -> None:
        self.steps.append(f"{self.tick()} life {self.life}: {what}")

    def put(self, path: str, records: Iterable[Record]) -> None:
        self.sources.setdefault(path, []).extend(records)

    def save(self, folder: Path) -> None:
        """For whoever looks for the reason of a violation."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "steps.txt").write_text("\n".join(self.steps) + "\n")
        for name in ("rows", "asked", "deaths", "disturbed"):
            lines = [json.dumps(asdict(each)) for each in getattr(self, name)]
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "sources.json").write_text(json.dumps(self.sources))
