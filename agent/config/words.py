"""What a jsonschema error means → a sentence and a hint. No value of a secret field is ever repeated."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from agent.config.scalars import Trap
from agent.config.units import duration_hint, rate_hint, size_hint

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_LITERAL = "secrets are references, never literals"
_LITERAL_HINT = (
    "write {secret: NAME} and put the value into the file secrets/NAME, or use {env: NAME} or {file: PATH}"
)
_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "keys and values (`key: value`)",
    "array": "a list",
}
_UNITS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("a duration", duration_hint),
    ("a size", size_hint),
    ("a rate", rate_hint),
)
# Keys that are called differently elsewhere, and too unlike ours for difflib.
_ALIASES = {
    "cron_expression": "cron", "interval": "every", "tz": "timezone", "destination": "target",
    "input": "source", "name": "job", "separator": "delimiter", "user": "username", "pass": "password",
    "glob": "path", "file": "path", "verb": "method", "mapping": "map", "authentication": "auth",
    "ssl": "tls", "insecure": "verify", "cert": "certificate", "base_url": "url", "uri": "url",
}  # fmt: skip


class Said(NamedTuple):
    """A sentence about a document."""

    message: str
    hint: str = ""
    key: str | None = None
    """The offending key below the place of the error; None: the place itself."""
    missing: str = ""
    """A key that should be there."""


def say(error: ValidationError) -> Iterator[Said]:
    """One error of jsonschema, as one sentence (one for each key where it counts several)."""
    if isinstance(error.instance, Trap):
        yield from _trap(error)
    else:
        yield from _tell(error)


def _tell(error: ValidationError) -> Iterator[Said]:
    told = _TOLD.get(str(error.validator))
    if told is None:
        yield Said(f"must be {_title(error)}", _unit_hint(error))
        return
    yield from told(error)


def _schema(error: ValidationError) -> Mapping[str, object]:
    return error.schema if isinstance(error.schema, dict) else {}


def _title(error: ValidationError) -> str:
    schema = _schema(error)
    if "title" in schema:
        return str(schema["title"])
    kinds = schema.get("type", "string")
    names = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join(_TYPES.get(str(name), str(name)) for name in names)


def _trap(error: ValidationError) -> Iterator[Said]:
    trap = error.instance
    assert isinstance(trap, Trap)
    kinds = _schema(error).get("type")
    if kinds == "boolean":
        yield Said(f"must be true or false, this is {trap}", trap.hint.split(",")[0])
    elif kinds == "integer":
        yield Said(f"must be a number, and {trap.why}", "write it without leading zeros and other signs")
    elif error.validator == "type" and "string" in (kinds if isinstance(kinds, list) else [kinds]):
        unit_hint = _unit_hint(error)
        if unit_hint or _title(error).startswith(tuple(start for start, _ in _UNITS)):
            yield from _pattern(error)
        else:
            yield Said(trap.why, f'put it in quotes: "{trap}"')
    else:
        yield from _tell(error)


def _type(error: ValidationError) -> Iterator[Said]:
    schema = _schema(error)
    title = _title(error)
    if "secret reference" in title and schema.get("type") == "object" and error.instance is not None:
        yield Said(_LITERAL, _LITERAL_HINT)
        return
    if "secret reference" in title:
        yield Said(f"must be {title}", "put a number in quotes" if error.instance is not None else "")
        return
    hint = _unit_hint(error)
    if not hint and schema.get("type") == "string" and isinstance(error.instance, int | float):
        hint = f'put it in quotes: "{_shown(error.instance)}"'
    if not hint and schema.get("type") == "object" and error.instance is None:
        hint = "indent its keys by two spaces more, or delete it"
    if not hint and schema.get("type") == "array" and isinstance(error.instance, str | int):
        hint = f"write [{_bare(error.instance)}]"
    yield Said(f"must be {title}, this is {_described(error.instance)}", hint)


def _unit_hint(error: ValidationError) -> str:
    title = _title(error)
    if isinstance(error.instance, bool) or not isinstance(error.instance, str | int | float):
        return ""
    for start, hint in _UNITS:
        if title.startswith(start):
            return hint(str(error.instance))
    return ""


def _pattern(error: ValidationError) -> Iterator[Said]:
    title = _title(error)
    quiet = "URL" in title or "secret" in title  # a URL may hold a password
    this = "" if quiet else f", this is {_described(error.instance)}"
    yield Said(f"must be {title}{this}", _unit_hint(error))


def _enum(error: ValidationError) -> Iterator[Said]:
    schema = _schema(error)
    choices = schema.get("enum", [schema.get("const")])
    assert isinstance(choices, list)
    words = [str(choice) for choice in choices]
    if "title" in schema:
        yield Said(f"must be {schema['title']}, this is {_described(error.instance)}")
        return
    allowed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    close = _close(str(error.instance), words) if isinstance(error.instance, str) else ""
    hint = f"did you mean {close}?" if close else ""
    if len(words) == 1:
        yield Said(f"must be {allowed} in this version, this is {_described(error.instance)}", hint)
    else:
        yield Said(f"must be {allowed}, this is {_described(error.instance)}", hint)


def _unknown(error: ValidationError) -> Iterator[Said]:
    properties = _schema(error).get("properties", {})
    assert isinstance(properties, dict)
    assert isinstance(error.instance, dict)
    for key in error.instance:
        if key in properties:
            continue
        close = _close(key, [name for name in properties if name not in error.instance] or properties)
        here = ", ".join(properties)
        yield Said(
            "there is no such key here", f"did you mean {close}?" if close else f"there are: {here}", key=key
        )


def _required(error: ValidationError) -> Iterator[Said]:
    wanted = re.match(r"'(.*)' is a required property", error.message)
    key = wanted[1] if wanted else ""
    properties = _schema(error).get("properties", {})
    assert isinstance(properties, dict)
    example = properties.get(key, {}).get("examples", [None])[0] if key in properties else None
    hint = f"for example `{key}: {_flow(example)}`" if example is not None else ""
    yield Said("this key is missing", hint, missing=key)


def _dependent(error: ValidationError) -> Iterator[Said]:
    wanted = re.match(r"'(.*)' is a dependency of '(.*)'", error.message)
    if wanted:
        yield Said(f"{wanted[2]} needs {wanted[1]} beside it", key=wanted[2])


def _bounds(error: ValidationError) -> Iterator[Said]:
    schema = _schema(error)
    low, high = schema.get("minimum"), schema.get("maximum")
    yield Said(f"must be a number from {low} to {high}, this is {_shown(error.instance)}")


def _one_key(error: ValidationError) -> Iterator[Said]:
    if "secret reference" in _title(error):
        yield Said("must have exactly one of secret, env and file", "for example {secret: NAME}")
    else:
        yield Said("has no keys", "give it at least one, or delete it")


def _short_text(error: ValidationError) -> Iterator[Said]:
    title = _schema(error).get("title")
    yield Said(f"must be {title}, this is {_described(error.instance)}" if title else "must not be empty")


def _long(error: ValidationError) -> Iterator[Said]:
    title = _schema(error).get("title")
    if title == "one character":
        hint = 'write "\\t" in double quotes for a tab' if "tab" in str(error.instance).lower() else ""
        yield Said(f"must be one character, this is {_described(error.instance)}", hint)
    else:
        yield Said(f"is longer than {error.validator_value}")


def _empty_list(_: ValidationError) -> Iterator[Said]:
    yield Said("the list is empty", "put at least one thing into it, or delete it")


def _twice(_: ValidationError) -> Iterator[Said]:
    yield Said("something is in the list twice")


_TOLD: Mapping[str, Callable[[ValidationError], Iterator[Said]]] = {
    "type": _type,
    "pattern": _pattern,
    "enum": _enum,
    "const": _enum,
    "additionalProperties": _unknown,
    "required": _required,
    "dependentRequired": _dependent,
    "minimum": _bounds,
    "maximum": _bounds,
    "minProperties": _one_key,
    "maxProperties": _one_key,
    "minLength": _short_text,
    "maxLength": _long,
    "minItems": _empty_list,
    "uniqueItems": _twice,
}


def did_you_mean(word: str, choices: Iterable[str], *, otherwise: str = "") -> str:
    """A hint: the choice that looks most like the word, else `otherwise`."""
    close = _close(word, choices)
    return f"did you mean {close}?" if close else otherwise


def _close(word: str, choices: Iterable[str]) -> str:
    names = {choice.lower(): choice for choice in choices}
    folded = word.lower().strip()
    alias = _ALIASES.get(folded, "")
    if alias in names:
        return names[alias]
    found = difflib.get_close_matches(folded[:100], names, n=1, cutoff=0.6)
    return names[found[0]] if found else ""


def _described(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {_shown(value)}"
    return f'"{_shown(value)}"' if value else "an empty text"


def _bare(value: object) -> str:
    return _shown(value)


def _shown(value: object) -> str:
    text = str(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - fits a line
    return text if text.isprintable() else ascii(text)[1:-1]


def _flow(value: object) -> str:
    """An example as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(part) for part in value) + "]"
    if isinstance(value, str):
        bare = re.fullmatch(r"[A-Za-z/][A-Za-z0-9_./:*-]*|[0-9]+[A-Za-z/][A-Za-z/]*", value)
        return value if bare and not isinstance(value, Trap) else json.dumps(value)
    return json.dumps(value)
