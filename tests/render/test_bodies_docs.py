"""What docs/BODIES.md shows is what comes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config import load
from tests.support.rendering import bodies, render

TEXT = (Path(__file__).parents[2] / "docs/BODIES.md").read_text("utf-8")
RECORDS = re.search(r"```csv\n(.*?)```", TEXT, re.DOTALL)[1]
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n```\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(("body", "shown"), EXAMPLES)
def test_an_example_gives_what_stands_below_it(tmp_path, body, shown):
    path = tmp_path / "x.csv"
    path.write_text(RECORDS)
    for folder in ("connections", "jobs"):
        (tmp_path / "etc" / folder).mkdir(parents=True)
    (tmp_path / "etc/connections/c.yaml").write_text(
        "connection: c\ntype: http\nendpoints: {e: 'https://x.example/'}\n"
    )
    (tmp_path / "etc/jobs/j.yaml").write_text(
        f"job: j\nschedule: {{every: 1h}}\nsource: {{type: csv, path: {path}, settle: 1ms}}\n"
        f"target: {{connection: c, endpoint: e}}\n{body}"
    )
    loaded = load(tmp_path / "etc")
    assert not loaded.problems
    (sent,) = bodies(render(loaded.plan.jobs["j"], path))
    assert sent.decode().replace("\r\n", "\n").rstrip("\n") == shown.rstrip("\n")


def test_every_format_of_records_has_an_example():
    found = {re.search(r"format: (\w+)", body)[1] for body, _ in EXAMPLES}
    assert found == {"json", "ndjson", "csv", "xml"}
