"""The real daemon, which dies by SIGKILL at a named point.

python -m tests.faults.child POINT PASS run --config DIR --state DIR
"""

from __future__ import annotations

import sys

from tests.faults.points import arm, named


def main() -> None:
    arm(named(sys.argv[1]), int(sys.argv[2]))
    sys.argv = ["push-agent", *sys.argv[3:]]
    from agent.__main__ import main as daemon  # noqa: PLC0415 - as late as in the real one

    daemon()


if __name__ == "__main__":
    main()
