"""`paging:` of a source of type http: how one page leads to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class NextPage:
    """The answer says where the next page is."""

    pointer: str = ""
    """Where in the answer (RFC 6901) its URL stands; "": in the header Link, rel=next (RFC 8288)."""
    keep: bool = False
    """Whether the last URL is where the next run begins (delta links)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CursorPage:
    """The answer holds a text that asks for the next page."""

    pointer: str
    param: str = "cursor"
    """The query parameter that it is sent as."""
    keep: bool = False
    """Whether the last text is where the next run begins."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberedPage:
    """Pages have numbers, or offsets; a page without records is the last."""

    param: str
    start: int = 0
    size_param: str = ""
    """"": none is sent."""
    size: int = 0
    """Records of a page; what an offset grows by."""
    by: Literal["page", "offset"] = "page"


Paging: TypeAlias = "NextPage | CursorPage | NumberedPage"
