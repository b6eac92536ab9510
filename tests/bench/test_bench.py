from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.bench import w1
from tests.bench.plot import svg
from tests.bench.processes import FailedError, Sink
from tests.bench.result import Figure, Race
from tests.bench.table import markdown


@pytest.mark.timeout(180)  # two lives of the daemon and two other processes, on whatever machine
def test_a_tiny_race_is_run_by_the_real_daemon_and_by_the_script():
    race = w1.measure(records=2_000, rounds=1, with_peers=False)
    assert race.missing == {}
    assert {name: len(figures) for name, figures in race.figures.items()} == {
        w1.GZIP: 1,
        w1.PLAIN: 1,
        w1.HAND: 1,
    }
    assert all(one.rate > 0 and one.peak_mb > 0 for figures in race.figures.values() for one in figures)
    text = markdown([race], "head")
    assert text.startswith("head\n\n### W1: CSV, 2,000 rows")
    assert f"| {w1.GZIP} | " in text
    picture = ET.fromstring(svg([race], "caption"))
    assert len(picture.findall("{*}rect")) == 1 + len(race.figures)


def test_a_competitor_that_loses_records_has_no_figure():
    race = Race(title="", unit="", base="")

    def lossy():
        with Sink() as sink:
            w1.check(sink, 1)

    w1.attempt(race, "lossy", lossy)
    assert race.missing == {"lossy": "the sink has 0 of 1 records"}
    assert "| lossy | not measured: the sink has 0 of 1 records |" in markdown([race], "")


def test_ratios_are_those_of_the_same_round():
    race = Race(title="", unit="", base="theirs")
    for ours, theirs in ((300.0, 100.0), (100.0, 200.0)):
        race.add("ours", Figure(rate=ours))
        race.add("theirs", Figure(rate=theirs))
    assert race.ratios("ours") == pytest.approx([3.0, 0.5])


def test_what_cannot_run_a_job_says_which(tmp_path):
    with Sink() as sink, pytest.raises(FailedError, match=r"cannot run the job: .*w1\.yaml"):
        w1.ours("source: {type: nothing}\n", 1, sink, gzip=True)
