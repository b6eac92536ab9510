"""JSON pointers into a text that is never parsed: the same places as a parser finds, and no more memory."""

from __future__ import annotations

import json
import random
import tracemalloc

import pytest

from agent.errors import SourceError
from agent.sources import pointed
from agent.sources.pointed import DEEPEST, span_of, value_at


@pytest.fixture
def at(tmp_path):
    path = tmp_path / "text.json"

    def find(text, pointer):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        span = span_of(path, pointer, "page 1")
        return None if span is None else path.read_bytes()[span[0] : span[1]].decode()

    find.path = path
    return find


RFC = '{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\\\j": 5, "k\\"l": 6, " ": 7, "m~n": 8}'


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC), ("/foo", '["bar", "baz"]'), ("/foo/0", '"bar"'), ("/foo/1", '"baz"'), ("/", "0"), ("/a~1b", "1"),
        ("/c%d", "2"), ("/e^f", "3"), ("/g|h", "4"), ("/i\\j", "5"), ('/k"l', "6"), ("/ ", "7"), ("/m~0n", "8"),
        ("/foo/2", None), ("/foo/-", None), ("/foo/01", None), ("/foo/x", None), ("/bar", None), ("/a~1b/x", None),
    ],
)  # fmt: skip
def test_the_pointers_of_rfc_6901(at, pointer, value):
    assert at(RFC, pointer) == value


def any_value(chance, depth):
    kind = chance.randrange(8 if depth else 5)
    if kind < 5:
        words = ["", "x", '"', "\\", "]}", "[{", "é\u2028", "a/b~", ",:", "\n"]
        return chance.choice([None, True, -1.5e300, 12345678901234567890, chance.choice(words)])
    size = range(chance.randrange(4))
    if kind < 7:
        return [any_value(chance, depth - 1) for _ in size]
    return {f"{chance.choice(['k', '/', '~', '}'])}{n}": any_value(chance, depth - 1) for n in size}


def places(value, pointer=""):
    yield pointer, value
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")


@pytest.mark.parametrize("seed", range(40))
def test_every_place_of_any_text_is_found(at, seed):
    chance = random.Random(seed)
    value = [any_value(chance, 6), {"a": any_value(chance, 6)}]
    text = json.dumps(value, indent=chance.choice([None, 1]), ensure_ascii=chance.random() < 0.5)
    for pointer, found in places(value):
        assert json.loads(at(text, pointer)) == found


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"a"',
        '{"a" 1}',
        '{"b":1 "a":2}',
        '{"b":[1,2',
        '{"b":"x',
        "{b:1}",
        '{"b":}',
        "[1,2}",
    ],
)
def test_what_is_no_json_on_the_way_is_told(at, text):
    with pytest.raises(SourceError, match="page 1: not valid JSON at byte"):
        at(text, "/a/b" if not text.startswith("[") else "/7")


def test_sec_18_a_text_that_is_too_deep_is_told_and_one_below_the_limit_is_not(at):
    deep = "[" * DEEPEST + "1" + "]" * DEEPEST
    assert at(f'{{"a": {deep}}}', "/a") == deep
    with pytest.raises(SourceError, match="not valid JSON"):
        at(f'{{"a": [[{deep}]]}}', "/a")
    with pytest.raises(SourceError, match="not valid JSON"):
        at(b"[" * 1_000_000, "")


def test_an_empty_text_holds_nothing_and_a_mark_is_passed_over(at):
    assert at("", "/a") is None
    assert at(b'\xef\xbb\xbf {"a": 1}', "/a") == "1"


def test_short_values_are_read_and_long_ones_refused(at):
    at(f'{{"a": "\\u00e9", "n": null, "l": "{"x" * 70_000}"}}', "")
    assert value_at(at.path, "/a", "page 1") == "é"
    assert value_at(at.path, "/n", "page 1") is None
    assert value_at(at.path, "/zz", "page 1") is None
    with pytest.raises(SourceError, match="what stands at /l is longer than 65536 bytes"):
        value_at(at.path, "/l", "page 1")


def test_memory_does_not_grow_with_the_text(at):
    body = ",".join(f'{{"id":{n},"name":"vehicle [{n}]"}}' for n in range(100_000))
    at('{"a": [1], "data": {"items": []}, "next": "x"}', "/next")  # what is made once
    at.path.write_text(f'{{"data": {{"items": [{body}]}}, "next": "there"}}')
    tracemalloc.start()
    span = span_of(at.path, "/data/items", "page 1")
    assert value_at(at.path, "/next", "page 1") == "there"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert span[1] - span[0] == len(body) + 2
    assert peak < 1_000_000


def test_a_long_array_is_gone_through_in_steps_and_what_was_read_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(pointed, "HELD", 5_000)
    items = [{"n": [n, ']}\\" ,['], "o": {"p": [[], {}]}} for n in range(3_000)]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"before": items, "data": items, "next": "u"}))
    start, end = span_of(path, "/data", "x.json")
    assert json.loads(path.read_bytes()[start:end]) == items
    assert value_at(path, "/next", "x.json") == "u"
    assert value_at(path, "/data/2999/n/0", "x.json") == 2999
    path.write_bytes(path.read_bytes()[: end - 1])
    with pytest.raises(SourceError, match=rf"not valid JSON at byte {start + 1}$"):
        span_of(path, "/data", "x.json")
