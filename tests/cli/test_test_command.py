"""`push-agent test`: readable differences, exit codes, and what programs get."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

JOB = """\
job: {name}
schedule: {{every: 1h}}
source: {{type: csv, path: /data/{name}/*.csv, types: {{lat: DOUBLE}}}}
body: {{format: json, per: record, map: {{plate: =plate, place: {{lat: =lat}}}}}}
target: {{connection: platform, endpoint: otm5}}
tests:
  - name: good
    given: [{{plate: AA, lat: 52}}]
    expect: [{{json: {{plate: AA}}}}]
  - name: second
    given: [{{plate: BB, lat: 52}}]
    expect: [{{json: {{plate: BB, place: {{lat: {lat}}}}}}}]
"""
GOOD = JOB.format(name="good-one", lat=52)
BAD = JOB.format(name="bad-one", lat=53)


@pytest.fixture
def jobs(folder):
    folder.job("good-one", GOOD)
    folder.job("bad-one", BAD)
    return folder


def test_the_tests_of_the_named_job_are_run_and_all_is_well(call, jobs):
    code, out, err = call("test", "good-one", "--config", jobs.config)
    assert (code, err) == (0, "")
    assert out == "good-one\n  ok      good\n  ok      second\nok: 2 tests of 1 job\n"


def test_without_a_name_all_jobs_are_tested_and_a_difference_is_told_in_full(call, jobs):
    code, out, _ = call("test", "--config", jobs.config)
    assert code == 1
    assert (
        out
        == f"""\
bad-one
  ok      good
  FAILED  second  ({jobs.config}/jobs/bad-one.yaml:10)
      request 1, place.lat:
        expected: 53
        got:      52.0
good-one
  ok      good
  ok      second
1 failed: 4 tests of 2 jobs
"""
    )


def test_json_says_the_same_to_programs(call, jobs):
    code, out, _ = call("test", "--config", jobs.config, "--output", "json")
    told = json.loads(out)
    assert (code, told["ok"]) == (1, False)
    assert [(one["job"], one["test"], one["passed"]) for one in told["tests"]] == [
        ("bad-one", "good", True),
        ("bad-one", "second", False),
        ("good-one", "good", True),
        ("good-one", "second", True),
    ]
    assert told["tests"][1]["failures"] == [
        {"what": "request 1", "path": "place.lat", "expected": "53", "got": "52.0"}
    ]


def test_junit_says_the_same_to_ci_servers(call, jobs):
    code, out, _ = call("test", "--config", jobs.config, "--output", "junit")
    root = ET.fromstring(out)
    assert code == 1
    assert (root.get("tests"), root.get("failures")) == ("4", "1")
    assert [suite.get("name") for suite in root] == ["bad-one", "good-one"]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "request 1, place.lat: expected 53, got 52.0"
    assert failure.text.splitlines()[0] == f"{jobs.config}/jobs/bad-one.yaml:10"
    assert "got:      52.0" in failure.text


def test_the_junit_report_has_only_what_every_ci_server_takes(call, jobs):
    etree = pytest.importorskip("lxml.etree", reason="the extra `xml` is not installed")
    _, out, _ = call("test", "--config", jobs.config, "--output", "junit")
    schema = etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))
    schema.assertValid(etree.fromstring(out.encode()))


def test_several_things_that_are_wrong_are_told_in_one_line_with_their_hints(call, folder):
    text = GOOD.replace("plate: BB, lat", "Platte: BB, Breite").replace("good-one", "odd")
    folder.job("odd", text)
    _, out, _ = call("test", "odd", "--config", folder.config)
    told = next(line for line in out.splitlines() if "an error: " in line)
    assert (
        "body.map.plate: =plate: there is no column plate (did you mean lat? columns there are: Platte, Breite, lat)"
        in told
    )
    assert "\\n" not in told


def test_what_xml_cannot_hold_is_replaced_in_the_junit_report(call, folder):
    folder.job("odd", BAD.replace("name: second", 'name: "bell \\a"').replace("bad-one", "odd"))
    _, out, _ = call("test", "odd", "--config", folder.config, "--output", "junit")
    assert [case.get("name") for case in ET.fromstring(out).iter("testcase")] == ["good", "bell \ufffd"]


def test_data_with_control_characters_moves_no_cursor(call, folder):
    text = GOOD.replace("plate: BB, lat", 'plate: "\\e[2Jx\\ny", lat').replace("good-one", "odd")
    folder.job("odd", text.replace("name: good", 'name: "good\\a\\n"'))
    _, out, _ = call("test", "odd", "--config", folder.config)
    assert "\x1b" not in out
    assert "ok      good\\x07\\n" in out
    assert 'got:      "\\u001b[2Jx\\ny"' in out


def test_a_job_that_is_not_there_is_a_usage_error_with_a_hint(call, jobs):
    code, _, err = call("test", "good-on", "--config", jobs.config)
    assert code == 2
    assert "there is no job 'good-on'" in err
    assert "did you mean good-one?" in err


def test_a_config_with_errors_is_told_unless_only_good_jobs_are_asked_for(call, jobs):
    jobs.job("broken", GOOD.replace("good-one", "broken").replace("every", "evry"))
    code, out, err = call("test", "--config", jobs.config)
    assert (code, out) == (78, "")
    assert "broken.yaml:2" in err
    assert call("test", "broken", "--config", jobs.config)[0] == 78
    assert call("test", "good-one", "--config", jobs.config)[0] == 0


def test_no_tests_are_no_failure(call, folder):
    code, out, _ = call("test", "--config", folder.config)
    assert code == 0
    assert out.startswith("no tests: ")


def test_nothing_is_left_behind_and_no_state_is_made(call, jobs, tmp_path, monkeypatch):
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    assert call("test", "good-one", "--config", jobs.config)[0] == 0
    assert list(temp.iterdir()) == []
    assert not jobs.state.exists()
