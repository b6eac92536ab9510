from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.document import MAX_NODES, plain, scan
from agent.config.scalars import Trap


def value_of(text: str) -> object:
    document = scan(f"a: {text}\n".encode(), "x.yaml")
    assert not document.problems, document.problems
    return plain(document.root)["a"]


def complaint(raw: str | bytes) -> str:
    document = scan(raw if isinstance(raw, bytes) else raw.encode(), "x.yaml")
    assert document.root is None
    return str(*document.problems)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a0 [x]\n" + "".join(f"b{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
        "a: &a {b: 1}\nc: {<<: [" + "*a," * 90 + "]}\n",
        "a: &a [" + "x," * 5000 + "]\nb: [" + "*a," * 90 + "]\n",
    ],
    ids=["aliases", "merge", "wide"],
)
def test_yml_01_a_bomb_of_aliases_or_merges_is_refused_at_once(text):
    start = time.process_time()
    assert complaint(text)
    assert time.process_time() - start < 2  # a guard against hanging, not a measurement


def test_yml_01_more_than_a_hundred_aliases_are_refused():
    assert "more than 100 aliases" in complaint("a: &a 1\nb: [" + "*a," * 101 + "]\n")


@pytest.mark.parametrize("bracket", ["[", "{a: ", "- ", "? "])
def test_yml_02_deep_nesting_is_refused_and_the_process_lives(bracket):
    deep = "a:\n  " + bracket * 50_000
    assert complaint(deep)
    assert complaint(bracket * 50_000)


def test_yml_02_deep_nesting_through_aliases_is_refused():
    deep = "a: &a " + "[" * 40 + "]" * 40 + "\nb: &b " + "[" * 30 + "*a" + "]" * 30 + "\n"
    assert "more than 64 levels" in complaint(deep)


def test_sixty_levels_are_no_problem():
    assert not scan(("a: " + "[" * 60 + "]" * 60).encode(), "x").problems


def test_too_many_values_are_refused():
    assert f"more than {MAX_NODES:,} values" in complaint("a: [" + "1," * MAX_NODES + "]")


def test_yml_03_duplicate_keys_are_refused_with_the_line_of_both():
    said = complaint("a: 1\nb:\n  c: 1\n  d: 2\n  'c': 3\n")
    assert said.startswith("x.yaml:5:3: the key c is there twice: in line 3 and in line 5")


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ("a: 1\n".encode("utf-16"), "UTF-16"),
        ("a: 1\n".encode("utf-16-be"), "U+0000"),
        ("a: 1\n".encode("utf-32"), "UTF-16 or UTF-32"),
        ("a: é\n".encode("latin-1"), "x.yaml:1:4: this is not UTF-8 text"),
        (b"a: 1\0\n", "U+0000"),
        (b"a:\n\tb: 1\n", "x.yaml:2:1: a tab"),
        (b"a: 1\n--- \nb: 2\n", "second document"),
        (b"a: !!python/object/apply:os.system ['true']\n", "tags such as !!python/object/apply:os.system"),
        (b"a: !!binary aGk=\n", "tags such as !!binary"),
        (b"a: ! x\n", "tags such as !"),
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"---\n", "the file is empty"),
        (b"? {a: b}\n: c\n", "a key must be a text"),
        (b"a: &a\n  b: *a\n", "stands inside of what it names"),
        (b"%YAML 99999999999999999999.1\n---\na: 1\n", "YAML"),
    ],
)
def test_yml_05_what_is_no_plain_yaml_is_refused_in_words(raw, part):
    assert part in complaint(raw)


def test_yml_05_a_byte_order_mark_and_windows_line_ends_are_read():
    document = scan(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - x\r\n", "x.yaml")
    assert plain(document.root) == {"a": 1, "b": ["x"]}


def test_tabs_inside_of_text_are_no_problem():
    assert value_of('"x\ty"  # tab:\tx') == "x\ty"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("0", 0), ("-17", -17),
        ("1.50", 1.5), ("1e3", 1000.0), (".5", 0.5), ("x", "x"), ("'no'", "no"), ('"012"', "012"), ("12:30x", "12:30x"),
        ("1.2.3", "1.2.3"), ("2024-01", "2024-01"), ("+31 20 1234", "+31 20 1234"), ("=a + 1", "=a + 1"), ("0.5", 0.5),
        ("1/2", "1/2"), ("AA-BB-CC", "AA-BB-CC"), ("=", "="),
    ],
)  # fmt: skip
def test_a_plain_text_means_what_yaml_1_2_says(text, value):
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["012", "-007", "1:30", "12:30:45", "yes", "No", "ON", "off", "y", "n", "True", "FALSE", "2024-01-01",
     "2024-01-01T10:00:00Z", "2024-01-01 10:00:00", "0x1F", "0o17", "0b1", "1_000", ".inf", ".NaN", "9" * 30, "1e999"],
)  # fmt: skip
def test_yml_06_what_yaml_readers_disagree_about_is_a_trap_and_keeps_its_text(text):
    found = value_of(text)
    assert isinstance(found, Trap)
    assert found == text


def test_yml_06_keys_are_always_texts():
    assert plain(scan(b"on: 1\n200: 2\nno: 3\n2024-01-01: 4\n", "x").root) == {
        "on": 1,
        "200": 2,
        "no": 3,
        "2024-01-01": 4,
    }


def test_a_key_may_be_empty_where_it_is_quoted():
    document = scan(b'a: {"": 1}\n', "x.yaml")
    assert not document.problems
    assert list(document.root.entries["a"].node.entries) == [""]
    (problem,) = scan(b"a: {? : 1}\n", "x.yaml").problems
    assert problem.message == "a key is missing before the colon"


def test_every_node_knows_its_line_and_column():
    root = scan(b"a: 1\nb:\n  - c: x\n", "x").root
    line, column, node = root.entries["b"]
    assert (line, column) == (2, 1)
    assert node.items[0].entries["c"][:2] == (3, 5)


PIECES = st.sampled_from(
    ["a", ":", " ", "\n", "  ", "-", "[", "]", "{", "}", "&a", "*a", "!", "!!", "'", '"', "|", ">", "%", "@", "`", "#",
     "\t", "<<", "---", "...", "?", ",", "\\", "0", "é", "\x85", "\u2028", "\ufeff", "\0", "=", "\r", "~", "1e9"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=60).map("".join).map(str.encode)))
def test_yml_05_whatever_the_bytes_there_is_a_tree_or_a_problem_and_never_a_traceback(raw):
    document = scan(raw, "x.yaml")
    assert (document.root is None) == bool(document.problems)
    for problem in document.problems:
        assert problem.message
        assert "\n" not in problem.message
        assert problem.message.isprintable()
