"""A config folder that is right, to be made wrong by a test."""

from __future__ import annotations

from pathlib import Path

CONNECTION = """\
connection: stg
type: http
auth: {type: none}
endpoints:
  planning: http://127.0.0.1:9/planning
"""


def job_text(name: str, every: str = "10m", endpoint: str = "planning") -> str:
    return f"""\
job: {name}
schedule: {{every: {every}}}
source:
  type: file
  path: /var/spool/{name}/*.csv
body: {{format: raw, content_type: text/csv}}
target: {{connection: stg, endpoint: {endpoint}}}
"""


def make_folder(root: Path, *names: str) -> Path:
    root.chmod(0o755)
    folder = root / "config"
    for place in (folder, folder / "connections", folder / "jobs"):
        place.mkdir(mode=0o755)
    write(folder / "connections" / "stg.yaml", CONNECTION)
    for name in names:
        write(folder / "jobs" / f"{name}.yaml", job_text(name))
    return folder


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)
