"""The two kinds behind one word, joined here, visibly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

from agent.contracts.errors import ContractError
from agent.contracts.files import File

__all__ = ["Checker", "ContractError", "Kind", "compiled", "refusal"]

Kind: TypeAlias = Literal["json", "xsd"]


class Checker(Protocol):
    """A compiled schema."""

    def all_good(self, documents: Sequence[str]) -> bool:
        """Whether none of the documents breaks it: the quick question, asked first."""

    def reason(self, document: str) -> str:
        """What is wrong with a document, with the places in it; empty when nothing is."""


def compiled(kind: Kind, files: tuple[File, ...]) -> Checker:
    """Compile a schema; the first file is the schema itself. Raises ContractError where it is none.

    An XSD belongs to the thread that uses it; a JSON Schema is shared.
    """
    if kind == "json":
        return _json(files)
    from agent.contracts.xsd import XsdChecker  # noqa: PLC0415 - lxml is an extra

    return XsdChecker(files)


def refusal(schema: dict[str, Any], value: object) -> str:
    """See `json_schema.refusal`."""
    from agent.contracts import json_schema  # noqa: PLC0415 - 35 ms

    return json_schema.refusal(schema, value)


@lru_cache(maxsize=256)
def _json(files: tuple[File, ...]) -> Checker:
    from agent.contracts.json_schema import JsonChecker  # noqa: PLC0415 - 35 ms

    return JsonChecker(files)
