"""JSON Schema, drafts 4 to 2020-12. `format` is checked, too."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urljoin

import jsonschema_rs

from agent.contracts.errors import MOST, ContractError, told
from agent.contracts.files import File, local_names, parsed_json

_ID = ("$id", "id")
_MOST_NAMES = 1000
_NO_FILE = re.compile(r"Resource '(.+?)' is not present")


class JsonChecker:
    """Implements `Checker`. Holds no state: threads share it."""

    def __init__(self, files: tuple[File, ...]) -> None:
        """Raises ContractError where the schema is none."""
        path, text = files[0]
        self._name = path.rpartition("/")[2]
        schema = parsed_json(path, text)
        if not isinstance(schema, dict | bool):
            raise ContractError(
                f"{self._name}: is no JSON Schema: it holds neither an object nor true or false"
            )
        try:
            self._validator = jsonschema_rs.validator_for(
                schema,
                registry=jsonschema_rs.Registry(_resources(files)),
                base_uri=None if _own(schema) else _uri(path),
                validate_formats=True,
                offline=True,
            )
        except jsonschema_rs.ValidationError as error:
            raise self._unusable(error.message, _path(error.instance_path)) from None
        except (jsonschema_rs.ReferencingError, ValueError) as error:
            raise self._unusable(str(error)) from None

    def _unusable(self, said: str, place: str = "") -> ContractError:
        if missing := _NO_FILE.search(said):
            hint = "save that file beside the schema and name it by its path"
            return ContractError(f"{self._name}: names {missing[1]}, which is no file here", hint)
        at = f"{place}: " if place else ""
        return ContractError(f"{self._name}: is no JSON Schema: {at}{told(said.splitlines()[:1])}")

    def all_good(self, documents: Sequence[str]) -> bool:
        """See `Checker`. JSON of many documents is parsed in one go."""
        try:
            return all(map(self._validator.is_valid, json.loads(f"[{','.join(documents)}]")))
        except (ValueError, RecursionError):
            return False

    def reason(self, document: str) -> str:
        """See `Checker`."""
        try:
            value = json.loads(document)
            problems = []
            for error in self._validator.iter_errors(value):
                place = _path(error.instance_path)
                problems.append(f"{place}: {error.message}" if place else error.message)
                if len(problems) > MOST:
                    break
        except UnicodeEncodeError:
            return "holds a lone surrogate, which is no character"
        except (ValueError, RecursionError) as error:
            return f"cannot be checked: {error}"
        return told(problems)


def refusal(schema: dict[str, Any], value: object) -> str:
    """Why a small schema without references refuses a value; empty where it does not, or is no schema.

    Not with Python's patterns: at some texts they would look for ever.
    """
    try:
        errors = jsonschema_rs.Draft202012Validator(schema).iter_errors(value)
        return next((told([error.message]) for error in errors), "")
    except (jsonschema_rs.ValidationError, ValueError):
        return ""


def _resources(files: tuple[File, ...]) -> list[tuple[str, Any]]:
    """The files by all names that references may use: their paths, and what `$id` makes of them."""
    schemas: dict[str, Any] = {_uri(path): parsed_json(path, text) for path, text in files}
    found = dict(schemas)
    todo = [(place, own) for place, schema in schemas.items() if (own := _own(schema))]
    while todo and len(found) < _MOST_NAMES:
        place, name = todo.pop()
        if name in found:
            continue
        found[name] = schemas[place]
        for other in local_names(schemas[place]):
            beside = urljoin(place, quote(other))
            if beside in schemas:
                todo.append((beside, _own(schemas[beside]) or urljoin(name, quote(other))))
                todo.append((beside, urljoin(name, quote(other))))
    return list(found.items())


def _own(schema: object) -> str:
    """The name that a schema gives itself."""
    if not isinstance(schema, dict):
        return ""
    return next((str(schema[key]) for key in _ID if isinstance(schema.get(key), str)), "")


def _uri(path: str) -> str:
    return f"file://{quote(path)}"


def _path(steps: Sequence[str | int]) -> str:
    """`actors[1].roles`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if step.isprintable() and not set(step) & set('.[]" ') else json.dumps(step)
            text = f"{text}.{name}" if text else name
    return text
