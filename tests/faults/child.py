"""Gives birth to daemons: the code of the agent, imported once, forked for each life.

A life that begins so is there a second earlier than `python -m agent run`, and a campaign is made of beginnings.
Run as a process, `python -m tests.faults.child`; it is told in lines of JSON on stdin, and answers so:

    {"log": PATH, "point": NAME or "", "passes": N, "arguments": [...]}  →  {"born": PID}, {"ended": PID, "code": N}
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
from typing import Any

from tests.faults.points import arm, named


def main() -> None:
    import agent.commands.run  # noqa: PLC0415
    import agent.daemon  # noqa: F401, PLC0415 - what every life needs

    lines = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ, None)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(key.data, 0)
                    _say(ended=key.data, code=os.waitstatus_to_exitcode(status))
                    continue
                piece = os.read(0, 65_536)
                if not piece:  # whoever asked for them is gone: they go too
                    for each in list(selector.get_map().values()):
                        if each.data is not None:
                            os.kill(each.data, signal.SIGKILL)
                    return
                lines += piece
                while b"\n" in lines:
                    line, _, lines = lines.partition(b"\n")
                    order = json.loads(line)
                    if (pid := os.fork()) == 0:
                        selector.close()
                        _live(order)
                    _say(born=pid)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)


def _say(**words: int) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def _live(order: dict[str, Any]) -> None:
    """As `push-agent ARGUMENTS`, with stdout and stderr in the log. Does not return."""
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    if order["point"]:
        arm(named(order["point"]), order["passes"])
    sys.argv = ["push-agent", *order["arguments"]]
    from agent.__main__ import main as daemon  # noqa: PLC0415 - as late as in the real one

    daemon()
    raise AssertionError("the command line has ended without an exit")


if __name__ == "__main__":
    main()
