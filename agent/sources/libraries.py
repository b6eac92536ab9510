"""DuckDB and Arrow, which cost 40 MB and 200 ms: imported when a job first needs them, by one thread.

They import each other in both directions. Two threads that meet in there are a deadlock to Python, which then
fails one of the imports, and with it a run.
"""

from __future__ import annotations

import threading

_LOADING = threading.Lock()


def load() -> None:
    """Call before the first import of what needs them; costs nothing from the second time on."""
    with _LOADING:
        import duckdb  # noqa: F401, PLC0415 - the very import that must not come earlier
        import pyarrow.compute  # noqa: F401, PLC0415
