"""`python -m agent` and the `push-agent` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from agent.commands import run_command_line  # noqa: PLC0415 - nothing before it may cost time

    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
