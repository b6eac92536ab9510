"""The unit under a real systemd: starts, reloads, survives kill -9, stops; and what it is kept from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.timeout(240)]
UNIT = Path(__file__).parents[2] / "systemd/push-agent.service"

CONNECTION = """\
connection: platform
type: http
auth:
  type: password
  url: http://127.0.0.1:9400/api/v1
  username: {secret: user}
  password: {secret: password}
endpoints: {planning: "http://127.0.0.1:9400/trips/insertOrUpdate"}
"""
JOB = """\
job: planning
schedule: {watch: true, every: 1m}
source: {type: file, path: /srv/drop/*.csv, settle: 200ms, done: {move: done/}}
body: {format: raw, content_type: text/csv}
target: {connection: platform, endpoint: planning}
"""
# As docs/INSTALL.md says: the unit's user may write to the drop folder.
DROP_IN = """\
[Service]
SupplementaryGroups=drop
ReadWritePaths=/srv/drop
"""
CSV = "trip ID,STOP ID,location ID,start time stop,END time stop\n%s,1,L1,2026-01-25T10:45:00+01:00,2026-01-25T11:00:00+01:00\n"


@pytest.fixture(scope="module")
def running(box):
    box.run("groupadd", "-r", "drop")
    box.run("sh", "-c", "mkdir -p /srv/drop && chgrp drop /srv/drop && chmod 2775 /srv/drop")
    box.write("/etc/systemd/system/push-agent.service.d/drop.conf", DROP_IN)
    box.run("sh", "-c", "mkdir -p -m 700 /etc/push-agent/secrets")
    box.write("/etc/push-agent/secrets/user", "demo", "600")
    box.write("/etc/push-agent/secrets/password", "s3cret-of-the-box", "600")
    box.write("/root/password", "s3cret-of-the-box", "600")
    box.write("/etc/push-agent/connections/platform.yaml", CONNECTION)
    box.write("/etc/push-agent/jobs/planning.yaml", JOB)
    serve = [
        "/opt/push-agent/bin/push-agent",
        "sandbox",
        "--listen",
        "127.0.0.1:9400",
        "--username",
        "demo",
        "--password-file",
        "/root/password",
    ]
    box.run("systemd-run", "--unit=sandbox", *serve)
    box.until(lambda: "9400" in box.run("ss", "-ltn").stdout, "the sandbox listens")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "push-agent")
    yield box
    box.run("systemctl", "stop", "push-agent")


def drop(box, name):
    box.write(f"/srv/drop/{name}.csv", CSV % name, "664")


def arrived(box, name):
    return box.run("test", "-e", f"/srv/drop/done/{name}.csv", check=False).returncode == 0


def test_the_unit_scores_1_1_or_better():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=11", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:]


def test_the_unit_lives_through_start_delivery_reload_kill_and_stop(running):
    box = running
    assert box.show("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}
    drop(box, "first")
    box.until(lambda: arrived(box, "first"), "the first file is delivered and moved")

    box.write(
        "/etc/push-agent/jobs/second.yaml", JOB.replace("planning", "second", 1).replace("*.csv", "*.txt")
    )
    box.run("systemctl", "reload", "push-agent")
    box.write("/etc/push-agent/jobs/broken.yaml", "job: broken\nschedul: {every: 1m}\n")
    failed = box.run("systemctl", "reload", "push-agent", check=False)
    assert failed.returncode != 0
    assert box.show("ActiveState")["ActiveState"] == "active"
    assert "broken.yaml:2" in box.journal()
    box.run("rm", "/etc/push-agent/jobs/broken.yaml")

    before = box.show("MainPID")["MainPID"]
    box.run("kill", "-9", before)
    drop(box, "second")
    box.until(lambda: arrived(box, "second"), "the second file is delivered after kill -9")
    assert box.show("MainPID")["MainPID"] != before
    state = box.sandbox()
    assert state["logins"] == 1

    box.run("systemctl", "stop", "push-agent")
    shown = box.show("ActiveState", "Result", "ExecMainStatus")
    assert shown == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert "s3cret-of-the-box" not in box.journal()
    box.run("systemctl", "start", "push-agent")


def test_sig_03_a_stopped_daemon_is_restarted_by_the_watchdog(running):
    box = running
    box.write(
        "/etc/systemd/system/push-agent.service.d/watchdog.conf",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n",
    )
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", "push-agent")
    before = box.show("MainPID")["MainPID"]
    box.run("kill", "-STOP", before)
    box.until(lambda: box.show("MainPID")["MainPID"] not in {before, "0"}, "a new process")
    drop(box, "after-watchdog")
    box.until(lambda: arrived(box, "after-watchdog"), "delivery after the watchdog's restart")
    box.run("rm", "/etc/systemd/system/push-agent.service.d/watchdog.conf")
    box.run("systemctl", "daemon-reload")


def test_a_bad_configuration_is_not_restarted_for_ever(running):
    box = running
    box.write("/etc/push-agent/agent.yaml", "stat: /var/lib/push-agent\n")
    box.run("systemctl", "restart", "push-agent", check=False)
    box.until(lambda: box.show("ActiveState")["ActiveState"] == "failed", "the unit failed")
    assert box.show("ExecMainStatus", "NRestarts")["ExecMainStatus"] == "78"
    assert "agent.yaml:1:1" in box.journal()
    box.run("rm", "/etc/push-agent/agent.yaml")
    box.run("systemctl", "reset-failed", "push-agent")
    box.run("systemctl", "start", "push-agent")


PROBE = r"""
import asyncio, ctypes, mmap, os, resource, socket, sqlite3, ssl, subprocess, threading
found = {}
def refused(name, action):
    try:
        action()
    except (OSError, PermissionError):
        found[name] = "refused"
    else:
        found[name] = "ALLOWED"
refused("write-etc", lambda: open("/etc/x", "w"))
refused("list-home", lambda: os.listdir("/root"))
refused("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
refused("wx-mmap", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
refused("mount", lambda: (_ for _ in ()).throw(OSError()) if ctypes.CDLL(None, use_errno=True).mount(b"x", b"/tmp", b"tmpfs", 0, None) else None)
refused("device", lambda: open("/dev/mem"))
import duckdb, pyarrow
from isal import igzip_lib
found["duckdb"] = duckdb.connect().sql("select to_json({a: 1})::varchar").fetchall()[0][0]
found["pyarrow"] = pyarrow.array([1, 2]).nbytes
found["isal"] = igzip_lib.decompress(igzip_lib.compress(b"x", 1, flag=igzip_lib.COMP_GZIP), flag=igzip_lib.DECOMP_GZIP).decode()
state = os.environ["STATE_DIRECTORY"]
found["sqlite"] = sqlite3.connect(state + "/probe.db").execute("pragma journal_mode=wal").fetchone()[0]
os.unlink(state + "/probe.db")
found["core"] = str(resource.getrlimit(resource.RLIMIT_CORE))
found["ssl"] = ssl.create_default_context().verify_mode.name
found["child"] = subprocess.run(["/bin/echo", "ok"], capture_output=True, text=True).stdout.strip()
threading.Thread(target=lambda: found.__setitem__("thread", "ok")).start()
asyncio.run(asyncio.sleep(0))
import time; time.sleep(0.1)
for name, value in sorted(found.items()):
    print(f"probe {name}={value}", flush=True)
"""


def test_sec_05_what_the_unit_is_kept_from_and_what_works_in_it(box):
    box.write("/srv/probe.py", PROBE)
    unit = UNIT.read_text()
    unit = re.sub(r"ExecStart=.*", "ExecStart=/opt/push-agent/bin/python /srv/probe.py", unit)
    unit = unit.replace("Type=notify", "Type=oneshot").replace("Restart=always", "Restart=no")
    box.run("sh", "-c", "mkdir -p -m 700 /etc/push-agent/secrets")
    box.write(
        "/etc/systemd/system/probe.service",
        unit.replace("User=push-agent", "User=probe").replace("=push-agent\n", "=probe\n"),
    )
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "probe")
    lines = re.findall(r"probe (\S+)=(.*)", box.journal("probe"))
    assert dict(lines) == {
        "write-etc": "refused",
        "list-home": "refused",
        "netlink": "refused",
        "wx-mmap": "refused",
        "mount": "refused",
        "device": "refused",
        "duckdb": '{"a":1}',
        "pyarrow": "16",
        "isal": "x",
        "sqlite": "wal",
        "core": "(0, 0)",
        "ssl": "CERT_REQUIRED",
        "child": "ok",
        "thread": "ok",
    }
