"""Job tests: given records, expected requests. Knows neither spool nor network.

trial.py     what is given → the requests of the production path (render → request.build)
given.py     records of the YAML → what the job's source reads
verdict.py   the requests against what is expected
compare.py   JSON against JSON; xml.py: XML against XML
report.py    as text; junit.py: as JUnit XML
writing.py   records → a test that passes (`dry-run --as-test`); yaml_text.py: values → YAML
"""

from __future__ import annotations

from agent.testing.trial import Result, run_test
from agent.testing.verdict import Failure

__all__ = ["Failure", "Result", "run_test"]
