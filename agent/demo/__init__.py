"""The whole agent at work in half a minute: the real daemon against the sandbox, in a temporary folder.

examples (as shipped) ─▶ folder ─▶ daemon (a process of its own) ─▶ sandbox (in a thread)
                                        story: one step after the other, each shown, each with a limit

folder.py   the shipped examples with paths and addresses of this demo; the files that are dropped
daemon.py   the daemon as a process: started, watched, stopped, never left behind
story.py    the steps, told in order, and what came of them
"""

from __future__ import annotations

from agent.demo.story import Screen, Step, Summary, tell_story

__all__ = ["Screen", "Step", "Summary", "tell_story"]
