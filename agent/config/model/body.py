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
    wrap: MapNode | None = None
    """What stands around the list of records: one leaf is `=records`. None: the list is the document."""
    contract: Contract | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NdjsonBody:
    """One JSON text a line."""

    per: Literal["record", "batch"] = "batch"
    map: MapNode | None = None
    nulls: Literal["keep", "drop"] = "keep"
    content_type: str = "application/x-ndjson"
    contract: Contract | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CsvBody:
    """RFC 4180, UTF-8."""

    per: Literal["record", "batch"] = "batch"
    map: MapNode | None = None
    """A MapObject: its keys are the columns."""
    nulls: Literal["keep", "drop"] = "keep"
    content_type: str = "text/csv; charset=utf-8"
    delimiter: str = ","
    header: bool = True
    """Whether each body begins with a line of the columns' names."""
    quoting: Literal["minimal", "all"] = "minimal"


@dataclass(frozen=True, kw_only=True, slots=True)
class XmlRoot:
    """The outermost element."""

    name: str
    namespaces: tuple[tuple[str, str], ...] = ()
    """Prefix and URI; the empty prefix is the default namespace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class XmlBody:
    """XML 1.0, UTF-8."""

    root: XmlRoot
    each: str | None = None
    """The element of a record below the root; None (`per: record` only): the root is the record."""
    per: Literal["record", "batch"] = "batch"
    map: MapNode | None = None
    """A MapObject. Keys: child elements, `@name` attributes, `#text`."""
    nulls: Literal["keep", "drop"] = "keep"
    content_type: str = "text/xml; charset=utf-8"
    contract: Contract | None = None


RecordBody: TypeAlias = JsonBody | NdjsonBody | CsvBody | XmlBody


def contract_of(body: Body | None) -> Contract | None:
    """The schema that its documents must fulfil; None for a body that has none."""
    return body.contract if isinstance(body, JsonBody | NdjsonBody | XmlBody) else None


Body: TypeAlias = RawBody | RecordBody


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """How many records go into one request (`per: batch`)."""

    records: int = 500
    bytes: int = 1_000_000
