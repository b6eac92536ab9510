"""Bodies: the map tree and what becomes of a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agent.config.model.place import Where

JsonScalar: TypeAlias = "bool | int | float | str | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class Expr:
    """A leaf `=…`: a DuckDB SQL scalar expression over the record's columns."""

    sql: str
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """Any other leaf, as it is (`==x` is already `=x` here)."""

    value: JsonScalar


@dataclass(frozen=True, kw_only=True, slots=True)
class MapObject:
    """A mapping; the order of its keys is the order in the body."""

    items: tuple[tuple[str, MapNode], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapList:
    """A sequence."""

    items: tuple[MapNode, ...]


MapNode: TypeAlias = "Expr | Constant | MapObject | MapList"


@dataclass(frozen=True, kw_only=True, slots=True)
class RawBody:
    """The file's own bytes."""

    content_type: str = "application/octet-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaFile:
    """A file of a schema, as it was when the job was loaded."""

    path: str
    text: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """What the target takes: `body.schema`. Documents that break it are not sent."""

    kind: Literal["json", "xsd"]
    files: tuple[SchemaFile, ...]
    """The schema itself, then the files beside it that it names."""
    check: Literal["all", "sample", "none"] = "all"
    """Which documents a run looks at."""
    where: Where = field(compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonBody:
    """RFC 8259."""

    per: Literal["record", "batch"] = "batch"
    map: MapNode | None = None
    """None: the record as it is."""
    nulls: Literal["keep", "drop"] = "keep"
    content_type: str = "application/json"
    contract: Contract | None = None


Body: TypeAlias = "RawBody | JsonBody"


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How many records go into one request (`per: batch`)."""

    records: int = 500
    bytes: int = 1_000_000
