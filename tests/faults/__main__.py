"""The crash and fault campaign, in one command.

python -m tests.faults                         1,000 kills, a seed by chance
python -m tests.faults --kills 50 --seed 7     a short one, the dice of seed 7
python -m tests.faults --out docs/RELIABILITY.md      puts its report there
python -m tests.faults --disk 24m              the state on a small disk that is filled now and then (needs unshare)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.campaign import Campaign, Settings
from tests.faults.report import report, with_report

INSIDE = "PUSH_AGENT_FAULTS_INSIDE"
"""Set in the mount namespace that a disk of its own needs."""


def _mount(place: Path, size: str) -> None:
    place.mkdir(parents=True, mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", place], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="of the dice; by chance when not given")
    parser.add_argument("--seconds", type=float, default=None, help="end after these, whatever is left")
    parser.add_argument("--out", type=Path, default=None, help="a document with marks for the report")
    parser.add_argument("--folder", type=Path, default=None, help="where the world is; kept")
    parser.add_argument("--disk", default="", help="size of a disk of its own for the state, such as 24m")
    given = parser.parse_args()
    if given.disk and INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        alone = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        os.execvp("unshare", [*alone, sys.executable, "-m", "tests.faults", *sys.argv[1:]])
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    folder = given.folder or Path(tempfile.mkdtemp(prefix="push-agent-faults-"))
    print(f"seed {seed}, world in {folder}", flush=True)
    settings = Settings(
        kills=given.kills, seed=seed, folder=folder, seconds=given.seconds, disk=bool(given.disk)
    )
    if given.disk:
        _mount(folder / "world/state", given.disk)
    campaign = Campaign(settings, say=lambda text: print(text, flush=True))
    outcome = asyncio.run(campaign.play())
    text = report(outcome)
    print(text)
    if given.out is not None:
        given.out.write_text(with_report(given.out.read_text(), text))
    if outcome.verdict.violations:
        if given.disk:
            shutil.copytree(folder / "world/state", folder / "state", symlinks=True)
        print(f"{len(outcome.verdict.violations)} violations, seed {seed}; kept: {folder}", file=sys.stderr)
        for each in outcome.verdict.violations[:50]:
            print(f"  {each}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
