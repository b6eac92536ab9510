"""`tests:` → what `push-agent test` runs. Only the shape is checked here; nothing of it runs on a reload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.config.document import Node, Scalar, Sequence, Tree
from agent.config.model import (
    Document,
    Expected,
    ExpectedDead,
    Given,
    GivenFile,
    GivenRows,
    JobTest,
    Where,
)
from agent.config.places import join
from agent.config.scalars import Trap
from agent.config.view import Findings, View
from agent.message import JsonValue


def build_tests(job: View, folder: Path) -> tuple[JobTest, ...]:
    """All tests of a job. `folder` is that of the job file."""
    kind = job.section("source").text("type") or ""
    tests: list[JobTest] = []
    names: set[str] = set()
    for test in _mappings(job, "tests"):
        built = _test(test, folder, kind)
        if built is None:
            continue
        if built.name in names:
            test.found.error(test.at("name"), f"there are two tests {built.name}", "give each its own name")
        names.add(built.name)
        tests.append(built)
    return tuple(tests)


def _mappings(view: View, key: str) -> Iterator[View]:
    for node, where in view.items(key):
        if isinstance(node, Tree):
            yield View(node, where, view.found, view.folder)


def _test(test: View, folder: Path, kind: str) -> JobTest | None:
    name, given = test.text("name"), _given(test, folder)
    if name is None or given is None:
        return None
    if kind == "sql" and isinstance(given, GivenFile):
        hint = "write the rows: [{column: value, …}, …]"
        test.found.error(test.at("given"), "a source of type sql reads no files", hint)
    if kind == "file" and isinstance(given, GivenRows):
        hint = "write {file: PATH}"
        test.found.error(test.at("given"), "a source of type file gives no records, only whole files", hint)
    if not {"expect", "expect_dead", "expect_error"} & set(test.tree.entries):
        hint = "add `expect: [{json: {…}}]`, or `expect_dead` or `expect_error`"
        test.found.error(test.at("name"), "this test expects nothing", hint)
    if "expect_error" in test and {"expect", "expect_dead"} & set(test.tree.entries):
        message = "nothing is sent where all is refused: expect_error stands alone"
        test.found.error(test.at("expect_error"), message, "delete it, or the others")
    return JobTest(
        name=name,
        given=given,
        expect=tuple(_expected(one) for one in _mappings(test, "expect")),
        expect_dead=tuple(
            ExpectedDead(reason=one.text("reason") or "", where=one.where)
            for one in _mappings(test, "expect_dead")
        ),
        expect_error=test.text("expect_error"),
        exact=test.flag("exact", default=False),
        where=test.where,
    )


def _given(test: View, folder: Path) -> Given | None:
    node = test.node("given")
    if isinstance(node, Tree):
        file = test.section("given").text("file")
        return GivenFile(path=folder / file) if file else None
    if not isinstance(node, Sequence):
        return None
    rows = []
    for item, place in test.items("given"):
        value = value_of(item, place, test.found)
        if not isinstance(value, dict):
            return None
        rows.append(value)
    return GivenRows(rows=tuple(rows))


def _expected(one: View) -> Expected:
    document = one.node("json")
    section = one.section("headers")
    return Expected(
        json=Document(value=value_of(document, one.at("json"), one.found)) if document is not None else None,
        xml=one.text("xml"),
        text=one.text("text"),
        method=one.text("method"),
        url=one.text("url"),
        path=one.text("path"),
        headers=tuple((name, section.text(name) or "") for name in section.tree.entries),
        records=one.number("records", 0) or None,
        where=one.where,
    )


def value_of(node: Node, where: Where, found: Findings) -> JsonValue:
    """A node as a JSON value; texts that YAML readers disagree about are errors."""
    if isinstance(node, Tree):
        return {
            key: value_of(entry.node, _below(where, entry.line, entry.column, key), found)
            for key, entry in node.entries.items()
        }
    if isinstance(node, Sequence):
        return [
            value_of(item, _below(where, item.line, item.column, index), found)
            for index, item in enumerate(node.items)
        ]
    assert isinstance(node, Scalar)
    if isinstance(node.value, Trap):
        found.error(where, node.value.why, node.value.hint)
    return str(node.value) if isinstance(node.value, str) else node.value


def _below(where: Where, line: int, column: int, step: str | int) -> Where:
    return Where(file=where.file, line=line, column=column, path=join(where.path, step))
