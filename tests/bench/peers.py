"""The other tools, each in a virtual environment of its own: installed once, into a cache below the temp folder."""

from __future__ import annotations

import shutil
import sys
import tempfile
import venv
from pathlib import Path

from tests.bench.processes import FailedError, command, script

CACHE = Path(tempfile.gettempdir()) / "push-agent-bench"
NEEDS = {
    "drt": ("drt-core[duckdb]",),
    "dlt": ("dlt", "pyarrow", "requests", "orjson"),
    "psycopg": ("psycopg[binary]", "aiohttp", "orjson"),
}


def python_of(name):
    """The interpreter of a peer's environment. Raises FailedError when it cannot be installed."""
    folder = CACHE / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        try:
            command([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *NEEDS[name]])
        except FailedError as error:
            raise FailedError(f"{' '.join(NEEDS[name])} cannot be installed: {error}") from error
        (folder / "complete").touch()
    return python


def by_hand(source, sink, *, python=sys.executable):
    return script("by_hand.py", source, sink.url + "/ingest", 500, 8, python=python)


def by_hand_requests(source, sink):
    return script("by_hand_requests.py", source, sink.url + "/ingest", 500)


def bare_loop(sink, count, connections):
    return script("bare_loop.py", sink.url + "/ingest", count, connections)


def drt(csv, sink, per_request):
    python = python_of("drt")
    with tempfile.TemporaryDirectory(prefix="push-agent-bench-") as folder:
        place = Path(folder, "project")
        return script("with_drt.py", csv, sink.url + "/ingest", per_request, place, python=python)


def dlt(csv, sink, kind):
    python = python_of("dlt")
    with tempfile.TemporaryDirectory(prefix="push-agent-bench-") as folder:
        return script("with_dlt.py", csv, sink.url + "/ingest", 500, kind, folder, python=python)
