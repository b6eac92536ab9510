"""`requests.jsonl`: every request with its body, one JSON object a line, for tests too big for memory.

A line is with the operating system before its request is answered: what was answered can be read
back, also after the sandbox was killed.
"""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.sandbox.ledger import Received


class Recorder:
    """Appends rows to a file from one thread of its own, so that lines stand in order."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "requests.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-record")

    async def write(self, row: Received) -> None:
        """Append one row; returns when the file has it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._append, row)

    def _append(self, row: Received) -> None:
        line = json.dumps({**row.as_json(), **row.body_as_json()}, ensure_ascii=False) + "\n"
        rest = memoryview(line.encode(errors="surrogatepass"))
        while rest:
            rest = rest[os.write(self._file, rest) :]

    async def close(self) -> None:
        """Everything handed over is written first."""
        await asyncio.to_thread(self._thread.shutdown)
        os.close(self._file)
