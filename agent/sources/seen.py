"""What was sent for each key, as values: `agent.sources.key_marks` has the files. No I/O here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A file of marks that counts."""

    path: Path
    rows: int | None = None
    """Only the marks of these first rows of its reading; None: all."""
    keys: bool = False
    """Whether it has the keys themselves, so that deletions can be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was sent before, for jobs that send new and changed records only."""

    layers: tuple[Layer, ...] = ()
    """The oldest first."""
    keep: Path | None = None
    """The folder for new files of marks; None: none is made (a dry run)."""
    parts: bool = True
    """Whether some of a reading may be visible before all of it is: its marks are then kept on the way."""

    @property
    def seed(self) -> str:
        """What tells readings of the same content apart that send other records of it."""
        return ",".join(f"{layer.path.name}:{layer.rows}" for layer in self.layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Marks:
    """A new file of marks, durable."""

    name: str
    """In `Seen.keep`."""
    keys: bool
    whole: bool
    """True: it replaces all layers, once the reading is released. False: it is a layer above them, as far
    as the rows of the chunk are sent."""


NOTHING = Seen()
"""Nothing is known, nothing will be."""
