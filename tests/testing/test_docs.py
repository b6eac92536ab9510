"""What docs/TESTING.md shows is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.job_tests import CONNECTION, Trials

DOCS = (Path(__file__).parents[2] / "docs/TESTING.md").read_text("utf-8")
JOB = """\
job: gps-positions
schedule: {every: 30s}
source: {type: csv, path: /data/*.csv, types: {lat: DOUBLE, lon: DOUBLE, speed_kmh: DOUBLE}}
body:
  format: json
  per: record
  map:
    creationDate: =utc(recorded_at)
    vehicle: =plate
    geoReference: {lat: =lat, lon: =lon, speed: {value: =speed_kmh}}
target: {connection: open, endpoint: otm5}
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


def told(text):
    """An indented block of the docs that begins with these words."""
    found = re.search(rf"^    {re.escape(text)}\n(?:    .*\n)+", DOCS, re.MULTILINE)
    return "".join(line.removeprefix("    ") for line in found[0].splitlines(keepends=True))


def test_the_test_of_the_docs_passes_and_its_failure_is_told_as_shown(tmp_path, call):
    tested = Trials(tmp_path)
    endpoints = (
        "endpoints: {events: http://127.0.0.1:9/api/events, otm5: http://127.0.0.1:9/otm5/realisation}"
    )
    (tested.config / "connections/open.yaml").write_text(re.sub("endpoints: .*", endpoints, CONNECTION))
    tests = blocks("yaml")[0].split("\n", 1)[1]
    file = tested.config / "jobs/gps-positions.yaml"
    file.write_text(JOB + tests)
    code, out, _ = call("test", "--config", tested.config)
    assert (code, out) == (0, "gps-positions\n  ok      a standing truck\nok: 1 test of 1 job\n")
    file.write_text(JOB + tests.replace("speed: {value: 0}", "speed: {value: 10}"))
    code, out, _ = call("test", "--config", tested.config)
    line = out.partition("yaml:")[2].partition(")")[0]
    shown = re.sub(r"\(jobs/gps-positions.yaml:\d+\)", f"({file}:{line})", told("gps-positions"))
    assert (code, out) == (1, shown)


def test_a_document_that_breaks_the_schema_is_told_as_shown(tmp_path):
    tested = Trials(tmp_path)
    (tested.config / "schemas").mkdir()
    schema = {"properties": {"geoReference": {"properties": {"lat": {"type": "number"}}}}}
    (tested.config / "schemas/event.schema.json").write_text(json.dumps(schema))
    contract = re.search(r"schema: \S+", blocks("yaml")[1])[0]
    said = re.search(r"^    (breaks event.schema.json: .*)$", DOCS, re.MULTILINE)[1]
    tested.put(
        "source: {type: csv, path: /data/*.csv}\n"
        f"body: {{format: json, {contract}, map: {{geoReference: {{lat: =lat}}}}}}\n"
        f"tests:\n  - name: t\n    given: [{{lat: north}}]\n    expect_dead: [{{reason: {json.dumps(said)}}}]\n"
    )
    assert tested.told() == []
