"""The files that a schema is made of: itself and the local ones that it names, as they are now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from os.path import normpath
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

from agent.contracts.errors import ContractError

File: TypeAlias = "tuple[str, bytes]"
"""Its path, absolute, and what it holds."""

MOST_FILES = 100
XS = "{http://www.w3.org/2001/XMLSchema}"
_URI_SAFE = "%/:?#[]@!$&'()*+,;=~"
_NAMING = frozenset({f"{XS}include", f"{XS}import", f"{XS}redefine", f"{XS}override"})


def gather(kind: str, path: str, read: Callable[[str], bytes]) -> tuple[File, ...]:
    """The schema at `path` (absolute) and all files that it leads to, itself first.

    `read` raises ContractError for a file that cannot be read. Raises ContractError for what is neither
    JSON nor XML, and for a reference over the network.
    """
    found: dict[str, bytes] = {}
    todo = [path]
    while todo:
        at = todo.pop(0)
        if at in found:
            continue
        if len(found) == MOST_FILES:
            raise ContractError(f"the schema is made of more than {MOST_FILES} files")
        found[at] = read(at)
        names = _json_names(at, found[at]) if kind == "json" else _xsd_names(at, found[at])
        todo += [normpath(Path(at).parent / name) for name in names]
    return tuple(found.items())


_OF_NAMES = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"}
)
"""Keywords that hold a schema for each name."""


def parsed_json(path: str, text: bytes) -> object:
    """What a JSON file holds. Raises ContractError with the place where it is no JSON."""
    try:
        value: object = json.loads(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        said = f"{_name(path)}:{error.lineno}:{error.colno}: is no JSON: {error.msg}"
        raise ContractError(said) from None
    except UnicodeDecodeError:
        raise ContractError(f"{_name(path)}: is not UTF-8") from None
    except RecursionError:
        raise ContractError(f"{_name(path)}: is nested too deeply") from None
    return value


def local_names(schema: object) -> Iterator[str]:
    """The relative paths in a JSON Schema's references."""
    todo = [(schema, False)]
    while todo:
        node, named = todo.pop()
        if isinstance(node, dict):
            for key, value in node.items():
                if named:  # a key of the documents, whatever it is called
                    todo.append((value, False))
                elif key in {"$ref", "$dynamicRef"} and isinstance(value, str):
                    name = value.partition("#")[0]
                    if name and not urlsplit(name).scheme:
                        yield unquote(name)
                elif key not in {"const", "enum", "default", "examples"}:
                    todo.append((value, key in _OF_NAMES))
        elif isinstance(node, list):
            todo += [(item, False) for item in node]


def _json_names(path: str, text: bytes) -> list[str]:
    # a reference that has a scheme may be the `$id` of one of the files: the compiler knows
    return list(dict.fromkeys(local_names(parsed_json(path, text))))


def _xsd_names(path: str, text: bytes) -> list[str]:
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ContractError(f"{_name(path)}: a document type declaration is not allowed in a schema")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a DTD there are no entities to expand
    except (ET.ParseError, ValueError, LookupError) as error:
        raise ContractError(f"{_name(path)}: is no well-formed XML: {error}") from None
    names = []
    for element in root.iter():
        name = element.get("schemaLocation")
        if element.tag not in _NAMING or name is None:
            continue
        if urlsplit(name).scheme:
            hint = "save that file beside the schema and name it by its path"
            raise ContractError(f"{_name(path)}: names {name}, and nothing is read over the network", hint)
        if (escaped := quote(name, safe=_URI_SAFE)) != name:  # libxml2 would not even look for it
            raise ContractError(f"{_name(path)}: names {name}, which is no URI", f"write {escaped}")
        names.append(unquote(name))
    return names


def _name(path: str) -> str:
    return path.rpartition("/")[2]
