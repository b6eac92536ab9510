"""Documents against the JSON Schemas in `schemas/`: all errors at once, in words and with positions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from agent.config.accept import Check, all_differ, compile_check
from agent.config.document import Document, Plain, Tree, plain
from agent.config.places import Place, place_of
from agent.config.scalars import Trap
from agent.config.words import say
from agent.errors import Problem

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

Kind: TypeAlias = Literal["agent", "connection", "job"]
JsonSchema: TypeAlias = "dict[str, Plain]"


def read_schema(kind: Kind | str) -> JsonSchema:
    """The schema of a kind of file, as it is shipped. In a checkout it lies beside the package."""
    name = f"{kind}.schema.json"
    shipped = resources.files("agent") / "schemas" / name
    text = (
        shipped.read_text("utf-8")
        if shipped.is_file()
        else (Path(__file__).parents[2] / "schemas" / name).read_text("utf-8")
    )
    return cast("JsonSchema", json.loads(text))


def check(document: Document, kind: Kind) -> list[Problem]:
    """What the schema has against a document, in the order of the file."""
    if document.root is None:
        return []
    value = plain(document.root)
    if _accepts(kind)(value):
        return []
    problems: list[Problem] = []
    for error in _validator(kind).iter_errors(value):
        problems += _problems(error, document.root, document.file)
    # Of one place the first is enough: the branches of an `if` say the same in other words.
    first = {problem.path: problem for problem in reversed(problems)}
    return sorted(first.values(), key=lambda problem: (problem.line, problem.column))


def _problems(error: ValidationError, root: Tree, file: str) -> Iterator[Problem]:
    steps = list(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        steps.append(str(error.instance))  # a key is what is wrong
    for said in say(error):
        place = place_of(root, steps if said.key is None else [*steps, said.key])
        yield Problem(
            file=file,
            line=place.line,
            column=place.column,
            path=place.path if not said.missing else _of_missing(place, said.missing),
            message=said.message,
            hint=said.hint,
        )


def _of_missing(place: Place, key: str) -> str:
    return f"{place.path}.{key}" if place.path else key


@cache
def _validator(kind: Kind) -> Draft202012Validator:
    """Compiled once per process: it holds no state."""
    return _strict()(cast("JsonSchema", inlined_schema(kind)))


@cache
def _accepts(kind: Kind) -> Check:
    return compile_check(inlined_schema(kind))


def inlined_schema(kind: Kind) -> Plain:
    """The schema without `$ref` and without words for its readers."""
    schema = read_schema(kind)
    definitions = cast("dict[str, JsonSchema]", schema.pop("$defs", {}))
    return _inline(schema, definitions)


def _inline(schema: Plain, definitions: dict[str, JsonSchema]) -> Plain:
    """`$ref` replaced by what it names: looking it up costs more than all other checks together.

    Keywords beside a `$ref` stand above those of what it names, as the error words want them. The
    schemas do not refer to themselves.
    """
    if isinstance(schema, list):
        return [_inline(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {
        key: _inline(part, definitions)
        for key, part in schema.items()
        if not (key in _NOTES and isinstance(part, str))  # a property may have such a name
    }
    target = rest.pop("$ref", None)
    if isinstance(target, str):
        named = _inline(definitions[target.removeprefix("#/$defs/")], definitions)
        assert isinstance(named, dict)
        return {**named, **rest}
    return rest


# Words for readers of the schema; the validator would look at each of them for every value.
_NOTES = frozenset({"description", "$schema", "$id"})


@cache
def _strict() -> type[Draft202012Validator]:
    # A tenth of a second to import, and only what is refused is asked about.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.validators import extend  # noqa: PLC0415

    types = Draft202012Validator.TYPE_CHECKER.redefine("string", _is_text)
    made = extend(Draft202012Validator, validators={"uniqueItems": _unique}, type_checker=types)  # type: ignore[no-untyped-call]
    return cast("type[Draft202012Validator]", made)


def _is_text(_: object, value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Trap)


def _unique(_: object, wanted: object, value: object, __: object) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415 - as above

    if wanted and isinstance(value, list) and not all_differ(value):
        yield ValidationError(f"{value[:3]!r} has non-unique elements")
