from __future__ import annotations

import subprocess
import sys

from tests.support.world import ROOT

AT_ONCE = """
import sys, threading
import agent.collect, agent.check, agent.render
from agent.sources import libraries
early = [name for name in ("duckdb", "pyarrow") if name in sys.modules]
threads = [threading.Thread(target=libraries.load) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(early, "duckdb" in sys.modules, "pyarrow.compute" in sys.modules)
"""


def test_duckdb_and_arrow_are_imported_late_and_by_one_thread_whoever_needs_them_first():
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=50, check=True, cwd=ROOT
    )
    assert done.stdout == "[] True True\n"
    assert done.stderr == ""
