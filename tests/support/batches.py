"""Bodies of many records in every format, and targets that refuse some of them."""

from __future__ import annotations

import gzip
import json

from agent.message import Draft
from agent.parts import Form
from tests.support.scripted import Answer

FRAMES = {
    "json": (b"[", b",", b"]"),
    "wrapped": (b'{"source":"acme","events":[', b",", b'],"sent":"now"}'),
    "ndjson": (b"", b"\n", b"\n"),
    "csv": (b"n;note\r\n", b"\r\n", b"\r\n"),
    "xml": (b'<?xml version="1.0" encoding="UTF-8"?>\n<all>\n', b"\n", b"\n</all>\n"),
}
"""Head, separator and tail, as `mapping.frames` writes them."""


def text(format_: str, number: int) -> bytes:
    """A record that holds what could be taken for the end of one."""
    match format_:
        case "json" | "wrapped":
            return json.dumps({"n": number, "note": '],}"\\{[é'}, ensure_ascii=number % 2 == 0).encode()
        case "ndjson":
            return json.dumps({"n": number, "note": "a\nb"}).encode()
        case "csv":
            return f'{number:04};"a ""b"",\r\nc"'.encode() if number % 3 else f"{number:04};plain".encode()
        case _:
            return f"<r><n>{number}</n><note>a&#10;b</note></r>".encode()


def joined(format_: str, numbers) -> bytes:
    """The body with these records."""
    head, separator, tail = FRAMES[format_]
    return head + separator.join(text(format_, number) for number in numbers) + tail


def batch(format_: str, count: int, *, first: int = 1, name: str = "positions.csv", **more) -> Draft:
    """`count` records with the numbers from `first` on, as a draft."""
    head, _, tail = FRAMES[format_]
    body = joined(format_, range(first, first + count))
    kind = "json" if format_ == "wrapped" else format_
    return Draft(
        body=gzip.compress(body, 1, mtime=0),
        size=len(body),
        records=count,
        content_type="text/plain",
        origin=f"{name} rows {first}-{first + count - 1}",
        form=str(Form(format=kind, head=len(head), tail=len(tail))),
        first=first,
        **more,
    )


class Picky:
    """A target that takes a body whole or not at all: it refuses those with a bad record."""

    def __init__(self, format_: str, bad, *, last: int, status: int = 422) -> None:
        self.taken: list[int] = []
        self.refused: list[list[int]] = []
        self._bad = set(bad)
        self._status = status
        self._texts = {text(format_, number): number for number in range(1, last + 1)}
        self._format = format_

    def numbers(self, body: bytes) -> list[int]:
        """Which records are in a body; none when it is not exactly what a body of these is."""
        found = sorted(
            (body.index(record), number) for record, number in self._texts.items() if record in body
        )
        numbers = [number for _, number in found]
        return numbers if body == joined(self._format, numbers) else []

    def __call__(self, request) -> Answer:
        numbers = self.numbers(request.body)
        bad = [number for number in numbers if number in self._bad]
        if bad:
            self.refused.append(numbers)
            return Answer(self._status, f"record {bad[0]} is bad".encode())
        self.taken += numbers
        return Answer(204)
