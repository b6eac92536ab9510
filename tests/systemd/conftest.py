"""A real systemd for the tests of the unit: booted once, with push-agent installed as docs/INSTALL.md says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOX = Path(__file__).with_name("box.sh")
LAUNCHER = "#!/opt/push-agent/bin/python\nfrom agent.__main__ import main\nmain()\n"


class Box:
    def __init__(self, folder):
        self.folder = folder

    def run(self, *command, check=True, text=None, timeout=60):
        done = subprocess.run(
            [BOX, "exec", self.folder, *command],
            capture_output=True,
            text=True,
            input=text,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def write(self, path, text, mode="644"):
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}", text=text)

    def copy_in(self, folder, to):
        self.run("mkdir", "-p", to)
        with subprocess.Popen(["tar", "-C", folder, "-cf", "-", "."], stdout=subprocess.PIPE) as pack:
            unpack = [BOX, "exec", self.folder, "tar", "-C", to, "-xf", "-"]
            subprocess.run(unpack, stdin=pack.stdout, check=True, timeout=120)
        assert pack.returncode == 0

    def show(self, *names):
        lines = self.run(
            "systemctl", "show", "push-agent", *[f"-p{name}" for name in names]
        ).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def journal(self, unit="push-agent"):
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout

    def until(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if result := condition():
                return result
            time.sleep(0.1)
        raise AssertionError(f"never happened: {what}\n{self.journal()[-6000:]}")

    def sandbox(self):
        answer = self.run(
            "python3",
            "-c",
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9400/_sandbox/state').read().decode())",
        )
        return json.loads(answer.stdout)


def missing():
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("/lib/systemd/systemd", "/usr/bin/python3"):
        if not Path(tool).exists():
            return f"needs {tool}"
    for tool in ("unshare", "nsenter", "setpriv"):
        if not shutil.which(tool):
            return f"needs {tool} of util-linux"
    return ""


def installed(tmp_path_factory):
    """Packages for the system's Python, as an operator would use it: other users cannot read root's home.

    Those that CI has installed of the wheel already, where they are of the same Python; or our own.
    """
    ask = "import sys; print('python%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output(["/usr/bin/python3", "-c", ask], text=True).strip()
    ready = Path(os.environ.get("PUSH_AGENT_SITE", ""))
    if ready.parent.name == version and (ready / "agent/__main__.py").exists():
        return ready
    site = tmp_path_factory.mktemp("installed") / "site"
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONWARNINGS": ""}
    install = [sys.executable, "-m", "pip", "--python", "/usr/bin/python3", "install", "-q", "--target"]
    subprocess.run([*install, site, str(ROOT)], check=True, env=environment, stderr=sys.stderr)
    return site


@pytest.fixture(scope="session")
def box(tmp_path_factory):
    if reason := missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"a booted systemd {reason}")
        pytest.skip(f"a booted systemd {reason}")
    folder = tmp_path_factory.mktemp("box")
    boot = subprocess.Popen([BOX, "up", folder])
    try:
        site = installed(tmp_path_factory)
        assert boot.wait(timeout=60) == 0
        box = Box(folder)
        box.run("/usr/bin/python3", "-m", "venv", "--without-pip", "/opt/push-agent")
        packages = box.run("sh", "-c", "echo /opt/push-agent/lib/python3*/site-packages").stdout.strip()
        box.copy_in(site, packages)
        box.write("/opt/push-agent/bin/push-agent", LAUNCHER, "755")
        box.write("/etc/systemd/system/push-agent.service", (ROOT / "systemd/push-agent.service").read_text())
        yield box
    finally:
        boot.wait(timeout=60)
        subprocess.run([BOX, "down", folder], check=False, timeout=60)
