"""The plan follows the files: what is written in the config folder is what runs.

    hint, rescan, SIGHUP, command
      │
      ▼
    settle            two looks 200 ms apart agree; nobody is writing; what vanished stays away
    read, validate    agent.config.load, with the last good text of every file
    diff              to the plan that runs; what did not change stays the same object
    prepare           world.prepare: all that can fail; a failure rejects the job it belongs to
    ─────────────────── fence: below it nothing can fail ───────────────────
    swap              world.swap: plain and synchronous
    remember          the accepted texts become the last good ones, in the state

A bad file keeps its last good version running, also over a restart, and blocks no other. A deleted
job stops collecting; its last text is kept until the spool holds no message of it, and until then it
is *draining*: delivered to where it last went.

`fingerprint` and `settle` look, `change` compares, `texts` remembers, `reloader` lists the steps.
"""

from __future__ import annotations

from agent.reload.change import Change
from agent.reload.reloader import Reloader
from agent.reload.world import JobRejected, Memory, Prepared, World

__all__ = ["Change", "JobRejected", "Memory", "Prepared", "Reloader", "World"]
