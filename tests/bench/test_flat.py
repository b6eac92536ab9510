"""Peak memory against records, full size: `PUSH_AGENT_MILLION=1 pytest -n 0 -s tests/bench/test_flat.py`."""

from __future__ import annotations

import os

import pytest

from tests.bench.processes import Sink
from tests.bench.scale import peak

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("PUSH_AGENT_MILLION"), reason="minutes; asked for with PUSH_AGENT_MILLION=1"
    ),
    pytest.mark.timeout(600),
]


def test_ten_times_the_records_take_no_more_memory():
    with Sink(keep=False) as sink:
        few, many = (peak(count, sink)[0] for count in (100_000, 1_000_000))
    print(f"\n{few:.0f} MB, {many:.0f} MB")
    assert many <= few * 1.1
    assert many <= 300
