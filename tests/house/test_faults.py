"""Every way in which a session can be hurt (`tests/auth/faults.txt`) has a test of its name."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"AUTH-(\d\d) \| (.+) \| (.+)")
NAME = re.compile(r"test_auth((?:_\d\d)+)_")
WITHOUT = {
    "35": "two hosts need the spool in PostgreSQL, which it does not run on yet",
}


def rows():
    lines = (TESTS / "auth/faults.txt").read_text().splitlines()
    return dict(
        [match[1], match[2]] for line in lines if not line.startswith("#") and (match := ROW.fullmatch(line))
    )


@cache
def named():
    """Ids in the names of tests that assert something, or expect an error."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        if "test_auth_" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (match := NAME.match(node.name)):
                assert _judges(node), f"{path.name}: {node.name} asserts nothing"
                found.update(match[1].strip("_").split("_"))
    return frozenset(found)


def _judges(test):
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Attribute) and node.attr == "raises")
        or (isinstance(node, ast.Attribute) and node.attr.startswith("all_arrived"))
        for node in ast.walk(test)
    )


def test_the_list_of_faults_is_whole():
    assert sorted(rows()) == [f"{number:02}" for number in range(1, 61)]


def test_every_fault_of_a_session_has_a_test_of_its_name():
    missing = {f"AUTH-{one}: {what}" for one, what in rows().items() if one not in named() | set(WITHOUT)}
    assert missing == set()


def test_no_test_names_a_fault_that_is_not_in_the_list():
    assert named() <= set(rows())


def test_an_exception_ends_when_its_test_comes():
    assert set(WITHOUT) & named() == set()
    assert set(WITHOUT) <= {"35"}
