"""What a target said, as it may be shown to a person or kept."""

from __future__ import annotations


def printable(text: str) -> str:
    """Control characters, line separators and lone surrogates as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(body: bytes) -> str:
    """An answer's body for people: UTF-8 where it is, lines kept, everything else that controls escaped."""
    if not body:
        return ""
    lines = body.decode("utf-8", "backslashreplace").replace("\r\n", "\n").split("\n")
    return "\n".join(printable(line) for line in lines)
