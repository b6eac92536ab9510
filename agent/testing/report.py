"""What came of tests, for programs: as JSON values and as JUnit XML. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any
from xml.etree import ElementTree as ET

from agent.testing.trial import Result
from agent.testing.verdict import Failure

# What XML 1.0 has no place for, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """`{ok, tests: [{job, test, file, line, passed, seconds, failures}]}`."""
    return {
        "ok": all(result.passed for result in results),
        "tests": [
            {
                "job": result.job,
                "test": result.test.name,
                "file": result.test.where.file,
                "line": result.test.where.line,
                "passed": result.passed,
                "seconds": round(result.seconds, 3),
                "failures": [dataclasses.asdict(failure) for failure in result.failures],
            }
            for result in results
        ],
    }


def as_junit(results: Sequence[Result]) -> str:
    """One `testsuite` for each job, as CI servers read it.

    Only what the schemas in use know, or some of them refuse the whole report: where a test stands is text.
    """
    root = ET.Element("testsuites", _sums(results))
    for job, group in groupby(results, key=lambda result: result.job):
        tests = list(group)
        suite = ET.SubElement(root, "testsuite", {"name": _text(job), **_sums(tests)})
        for result in tests:
            _case(suite, result)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _sums(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(not result.passed for result in results)),
        "errors": "0",
        "time": f"{sum(result.seconds for result in results):.3f}",
    }


def _case(suite: ET.Element, result: Result) -> None:
    where = result.test.where
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "name": _text(result.test.name),
            "classname": _text(result.job),
            "time": f"{result.seconds:.3f}",
        },
    )
    if result.failures:
        at = f"{where.file}:{where.line}"
        told = "\n".join([at, *(line for failure in result.failures for line in lines(failure))])
        first = result.failures[0]
        said = f"{place(first)}: expected {first.expected}, got {first.got}"
        ET.SubElement(case, "failure", {"message": _text(said), "type": "difference"}).text = _text(told)


def place(failure: Failure) -> str:
    """`request 1, geoReference.lat`."""
    return f"{failure.what}, {failure.path}" if failure.path else failure.what


def lines(failure: Failure) -> tuple[str, str, str]:
    """The place, what was expected, what there is: three lines for people."""
    return (
        f"{place(failure)}:",
        f"  expected: {one_line(failure.expected)}",
        f"  got:      {one_line(failure.got)}",
    )


def one_line(text: str) -> str:
    """Data may hold anything: nothing in it moves a cursor or begins another line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
