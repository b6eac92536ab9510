"""The demo's folder: the shipped examples, made to fit, and the files that other programs would drop.

config/   agent.yaml, connections/, jobs/, secrets/      state/      the daemon's own
drop/     planning/, gps/, minimal/, fleet/              daemon.log  what it says
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

SECRETS = ("simacan_stg_user", "simacan_stg_password")
FIRST_JOBS = ("planning-csv", "gps-csv", "tracking-devices")
_PLATES = ("AA-BB-01", "AA-BB-02", "AA-BB-03", "AA-BB-04")
# Programs write a file, then rename it into the folder: its last change lies a while back.
_WRITTEN_AGO = 60.0


def examples() -> Traversable:
    """The examples as they are shipped. In a checkout they lie beside the package."""
    shipped = resources.files("agent") / "examples"
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "examples"


class DemoFolder:
    """Everything of one demo on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config"
        self.state = root / "state"
        self.log = root / "daemon.log"
        self._drop = root / "drop"
        self._dropped = 0

    def make(self, *, auth_url: str, endpoints: Mapping[str, str], user: str, password: str) -> None:
        """The config: the shipped examples, with the sandbox in the place of the platform."""
        for name in ("connections", "jobs", "secrets"):
            _make_folder(self.config / name)
        for name in ("planning", "gps", "minimal", "fleet"):
            _make_folder(self._drop / name)
        for name, value in zip(SECRETS, (user, password), strict=True):
            _write(self.config / "secrets" / name, value.encode(), mode=0o600)
        settings = {"/var/lib/push-agent ": f"{self.state} ", "listen: 127.0.0.1:9310": "listen: off"}
        self._example("agent.yaml", settings)
        platform = {
            "https://auth-service-stg.example.com/api/v1": auth_url,
            "https://planning-receive-api-stg.example.com/trips/insertOrUpdate": endpoints["planning"],
            "https://fms-stg.example.com/otm5/realisation": endpoints["otm5"],
            "https://devices-stg.example.com/api/v1/devices": endpoints["devices"],
            "rate: 20/s": "rate: 1000/s",
        }
        self._example("connections/platform-stg.yaml", platform)
        self._example("jobs/planning-csv.yaml", {"/var/spool/": f"{self._drop}/"})
        self._example("jobs/gps-csv.yaml", {"/var/spool/": f"{self._drop}/", "every: 30s": "every: 1s"})
        self._example("jobs/tracking-devices.yaml", {"/data/": f"{self._drop}/"})

    def add_job(self) -> str:
        """Drop the smallest example as one more job; its name."""
        self._example("jobs/minimal.yaml", {"/var/spool/": f"{self._drop}/"})
        return "minimal"

    def add_broken_job(self) -> str:
        """Drop a job with a slip of the pen; the name of its file."""
        slip = {"/var/spool/": f"{self._drop}/", "job: minimal": "job: broken", "schedule:": "shedule:"}
        self._example("jobs/minimal.yaml", slip, to="jobs/broken.yaml")
        return "jobs/broken.yaml"

    def drop(self, name: str, content: bytes) -> Path:
        """A file appears in a folder, whole: `planning/monday.csv`."""
        self._dropped += 1
        path = self._drop / name
        _write(path, content, changed=time.time() - _WRITTEN_AGO + self._dropped)
        return path

    def _example(self, name: str, changes: Mapping[str, str], *, to: str = "") -> None:
        text = examples().joinpath(name).read_text("utf-8")
        for old, new in changes.items():
            if old not in text:
                raise AssertionError(f"the example {name} does not hold {old!r} any more")
            text = text.replace(old, new)
        _write(self.config / (to or name), text.encode())


def planning(day: str, trips: int) -> bytes:
    """A planning file: two stops a trip."""
    lines = ["trip ID,STOP ID,location ID,start time stop,END time stop"]
    for trip in range(1, trips + 1):
        for stop, hour in ((1, 8), (2, 11)):
            hours = f"{day}T{hour:02}:00:00+01:00,{day}T{hour:02}:45:00+01:00"
            lines.append(f"T{trip:03},{stop},depot-{(trip + stop) % 7},{hours}")
    return ("\n".join(lines) + "\n").encode()


def positions(count: int, bad_line: int) -> tuple[bytes, list[str]]:
    """A file with `count` positions and one bad line; the times of the good ones, as they are to arrive."""
    start = datetime.fromisoformat("2026-10-27T11:00:00+02:00")
    lines = ["recorded_at,plate,lat,lon,speed_kmh,heading,shipper"]
    times = []
    for number in range(count):
        if len(lines) + 1 == bad_line:
            lines.append(f"{start.isoformat()},{_PLATES[0]},north,5.1,80,270,some-shipper")
        moment = start + timedelta(seconds=number)
        times.append(f"{moment - timedelta(hours=2):%Y-%m-%dT%H:%M:%S}Z")
        place = f"{52 + number / 10_000:.4f},{5 + number / 10_000:.4f}"
        speed = 50 + number % 40
        lines.append(
            f"{moment.isoformat()},{_PLATES[number % 4]},{place},{speed},{number % 360},some-shipper"
        )
    return ("\n".join(lines) + "\n").encode(), times


def devices() -> tuple[bytes, list[str]]:
    """A list of devices and their ids: leading zeros and all."""
    ids = [f"{number:04}" for number in (7, 42, 118, 1205, 3001)]
    lines = ["id;plate;carrier;active"]
    lines += [f"{one};CC-DD-{number:02};acme;{str(number != 3).lower()}" for number, one in enumerate(ids, 1)]  # noqa: PLR2004 - one of them is off
    return ("\n".join(lines) + "\n").encode(), ids


def _make_folder(path: Path) -> None:
    """Whatever the umask says: a config that others may write would be refused."""
    path.mkdir(parents=True)
    for folder in (path, path.parent):
        folder.chmod(0o755)


def _write(path: Path, content: bytes, *, mode: int = 0o644, changed: float | None = None) -> None:
    """Beside it first, then renamed: nobody ever sees half of it."""
    fresh = path.with_name(path.name + ".tmp")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    if changed is not None:
        os.utime(fresh, (changed, changed))
    fresh.rename(path)
