"""The daemon at the end of its resources: it waits, says so, and goes on when there is room again."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path


def test_res_01_without_file_descriptors_it_waits_says_so_and_recovers(living, stage):
    stage.connection().records().load()
    stage.numbers(10)
    stage.all_arrived()
    pid = living.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        stage.numbers(10)
        told = "Too many open files"
        # The look at the folder may be the first to find none; the next one is half a minute later.
        living.until(
            lambda: told.lower() in living.logged_since_start().lower(), "it says what is missing", seconds=45
        )
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    stage.all_arrived()
    assert living.daemon.poll() is None


def test_res_07_a_log_that_is_rotated_is_written_on_without_a_storm_of_reloads(living, stage):
    stage.connection().records().load()
    stage.numbers(10)
    stage.all_arrived()
    os.truncate(living.log, 0)  # copytruncate
    for _ in range(20):
        living.daemon.send_signal(signal.SIGHUP)
    stage.numbers(10)
    stage.all_arrived()
    text = living.log.read_bytes()
    assert b"\0" not in text, "it is written at its end, wherever that is"
    assert b"collected" in text
    assert text.count(b'"event": "reloaded"') <= 3
    old = living.log.rename(living.log.with_suffix(".1"))
    try:
        stage.numbers(10)
        stage.all_arrived()
        assert old.stat().st_size > len(text)
    finally:
        old.rename(living.log)


PLANTED = "open({mark!r}, 'w').write(__name__)\nraise SystemExit(99)\n"


def test_sec_21_a_module_that_lies_beside_config_or_state_is_not_imported(world, tmp_path):
    mark = tmp_path / "imported"
    places = [world.config, world.config / "jobs", tmp_path / "here", tmp_path / "state"]
    for place in places:
        place.mkdir(exist_ok=True)
        for name in ("yaml", "json", "duckdb", "sqlalchemy", "agent", "sitecustomize"):
            (place / f"{name}.py").write_text(PLANTED.format(mark=str(mark)))
    command = [Path(sys.executable).parent / "push-agent", "validate", "--config", world.config]
    for place in (world.config, tmp_path / "here"):
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not mark.exists()
