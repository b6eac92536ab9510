"""A config folder on a real disk, for tests: a good connection, a good job, and whatever is put there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.config import Loaded, load

CONNECTION = """\
connection: {name}
type: http
url: https://api.example.com/v1
auth: {{type: bearer, token: {{secret: token}}}}
endpoints: {{planning: https://planning.example.com/trips}}
"""
OPEN_CONNECTION = """\
connection: open
type: http
endpoints: {planning: http://planning.example.com/trips}
"""
JOB = """\
job: {name}
schedule: {{every: 30s}}
source: {{type: csv, path: /data/{name}/*.csv}}
body: {{format: json, per: record, map: {{id: =id}}}}
target: {{connection: stg, endpoint: planning}}
"""


@dataclass(frozen=True)
class ConfigFolder:
    path: Path

    def put(self, name: str, text: str | bytes) -> Path:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(0o644)
        return file

    def connection(self, name: str = "stg") -> Path:
        return self.put(f"connections/{name}.yaml", CONNECTION.format(name=name))

    def job(self, name: str, file: str | None = None) -> Path:
        return self.put(f"jobs/{file or name}.yaml", JOB.format(name=name))

    def load(self, last_good: dict[str, bytes] | None = None) -> Loaded:
        return load(self.path, last_good=last_good)

    def told(self) -> str:
        return "".join(f"{problem}\n" for problem in load(self.path).problems)
