"""`python -m agent` and the `push-agent` command."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_standard_streams()
    from agent.commands import run_command_line  # noqa: PLC0415 - nothing before it may cost time

    sys.exit(run_command_line(sys.argv[1:]))


def _open_standard_streams() -> None:
    """Where a parent closed them: a socket must not get their numbers, and then what is printed."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number, inheritable=True)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


if __name__ == "__main__":
    main()
