"""A JSON Schema as one function that says yes or no: the short way for the many files that are right.

jsonschema says what is wrong, and takes nearly half of a load's time to find out that nothing is
(10,000 small jobs: 15 s of CPU with it, 8.5 s with this before it, on a busy machine). So it is
asked only about what this refuses. A test holds that the two agree about all sample files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from agent.config.document import Plain
from agent.config.scalars import Trap

Check: TypeAlias = Callable[[object], bool]
Rules: TypeAlias = Mapping[str, "Plain"]


def compile_check(schema: Plain) -> Check:
    """The check of a schema without `$ref`. Raises KeyError for a keyword that is not known here."""
    if not isinstance(schema, dict):
        return lambda _: bool(schema)
    if "additionalProperties" in schema and "properties" not in schema:
        schema = {**schema, "properties": {}}
    checks = [_MAKERS[key](value, schema) for key, value in schema.items() if key not in _SILENT]
    if len(checks) == 1:
        return checks[0]
    return _all(checks)


def _all(checks: list[Check]) -> Check:
    def check_all(value: object) -> bool:
        for check in checks:  # noqa: SIM110 - twice as fast as all() with a generator
            if not check(value):
                return False
        return True

    return check_all


# Annotations, and keywords that another one takes with it.
_SILENT = frozenset(
    {"title", "examples", "description", "default", "then", "else", "additionalProperties", "$comment"}
)

_IS: Mapping[str, Check] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str) and not isinstance(value, Trap),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


def _type(kinds: Plain, _: Rules) -> Check:
    if isinstance(kinds, str):
        return _IS[kinds]
    checks = [_IS[str(kind)] for kind in cast("list[Plain]", kinds)]
    return lambda value: any(check(value) for check in checks)


def _enum(choices: Plain, _: Rules) -> Check:
    # All of ours are texts: 1 and true could not be told apart here.
    words = frozenset(str(choice) for choice in cast("list[Plain]", choices))
    return lambda value: isinstance(value, str) and value in words


def _const(word: Plain, _: Rules) -> Check:
    return _enum([word], {})


def _pattern(pattern: Plain, _: Rules) -> Check:
    search = re.compile(str(pattern)).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _properties(properties: Plain, schema: Rules) -> Check:
    known = {key: compile_check(part) for key, part in cast("dict[str, Plain]", properties).items()}
    others = compile_check(schema.get("additionalProperties", True))

    def check(value: object) -> bool:
        if not isinstance(value, dict):
            return True
        for key, part in value.items():  # noqa: SIM110 - twice as fast as all() with a generator
            if not known.get(key, others)(part):
                return False
        return True

    return check


def _required(keys: Plain, _: Rules) -> Check:
    wanted = cast("list[str]", keys)
    return lambda value: not isinstance(value, dict) or all(key in value for key in wanted)


def _dependent(needs: Plain, _: Rules) -> Check:
    pairs = [(key, other) for key, others in cast("dict[str, list[str]]", needs).items() for other in others]
    return lambda value: (
        not isinstance(value, dict) or all(key not in value or other in value for key, other in pairs)
    )


def _names(schema: Plain, _: Rules) -> Check:
    check = compile_check(schema)
    return lambda value: not isinstance(value, dict) or all(map(check, value))


def _items(schema: Plain, _: Rules) -> Check:
    check = compile_check(schema)
    return lambda value: not isinstance(value, list) or all(map(check, value))


def _unique(_wanted: Plain, _: Rules) -> Check:
    return lambda value: not isinstance(value, list) or all_differ(value)


def all_differ(parts: list[object]) -> bool:
    """Whether a list of texts, numbers and the like holds none of them twice; True for any other list.

    In one pass: comparing each with each takes minutes for a list that fits into a file. Lists and
    objects are wrong wherever this is asked for, which another rule says.
    """
    try:
        return len({(isinstance(part, bool), part) for part in parts}) == len(parts)
    except TypeError:
        return True


def _all_of(schemas: Plain, _: Rules) -> Check:
    return _all([compile_check(part) for part in cast("list[Plain]", schemas)])


def _any_of(schemas: Plain, _: Rules) -> Check:
    checks = [compile_check(part) for part in cast("list[Plain]", schemas)]
    return lambda value: any(check(value) for check in checks)


def _if(condition: Plain, schema: Rules) -> Check:
    holds = compile_check(condition)
    then, otherwise = compile_check(schema.get("then", True)), compile_check(schema.get("else", True))
    return lambda value: then(value) if holds(value) else otherwise(value)


def _length(kind: type[str | list[object] | dict[str, object]], low: int, high: int | None) -> Check:
    def check(value: object) -> bool:
        if not isinstance(value, kind):
            return True
        return len(value) >= low and (high is None or len(value) <= high)

    return check


def _number(low: float, high: float) -> Check:
    return lambda value: not isinstance(value, int | float) or isinstance(value, bool) or low <= value <= high


_Maker: TypeAlias = Callable[["Plain", Rules], Check]
_MAKERS: Mapping[str, _Maker] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "properties": _properties,
    "required": _required,
    "dependentRequired": _dependent,
    "propertyNames": _names,
    "items": _items,
    "uniqueItems": _unique,
    "allOf": _all_of,
    "anyOf": _any_of,
    "if": _if,
    "minLength": lambda low, _: _length(str, cast("int", low), None),
    "maxLength": lambda high, _: _length(str, 0, cast("int", high)),
    "minItems": lambda low, _: _length(list, cast("int", low), None),
    "maxItems": lambda high, _: _length(list, 0, cast("int", high)),
    "minProperties": lambda low, _: _length(dict, cast("int", low), None),
    "maxProperties": lambda high, _: _length(dict, 0, cast("int", high)),
    "minimum": lambda low, _: _number(cast("float", low), float("inf")),
    "maximum": lambda high, _: _number(float("-inf"), cast("float", high)),
}
