"""Where an answer holds something: a name of its top, or a JSON pointer (RFC 6901). Pure."""

from __future__ import annotations

import re

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def pick(document: object, where: str) -> object:
    """What stands there; None when there is nothing (or null)."""
    if not where.startswith("/"):
        return document.get(where) if isinstance(document, dict) else None
    for word in where[1:].split("/"):
        # In this order: `~01` is the key `~1`, not a slash.
        key = word.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and _INDEX.fullmatch(key) and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document
