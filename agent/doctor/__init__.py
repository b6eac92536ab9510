"""The doctor: why does signing in, or reaching a platform, not work? `push-agent auth check`.

config ─▶ secrets ─▶ each origin: dns ─▶ tcp (─▶ proxy) ─▶ tls ─▶ http
                  ─▶ sign-in ─▶ refresh ─▶ each endpoint: call

    examine     the steps, in order              notebook   each is timed, bounded, kept
    places      the origins of a connection      visit      one origin, step by step
    dial        DNS and TCP                      handshake  TLS, and HEAD / without credentials
    desk        who signs: the daemon, or we     certificates  what a certificate says
    proxies     which proxy is on the way        tunnel     CONNECT, as a step
    findings    what was found, as values        words      the tables: what is wrong, what to do
    verdicts, trust, tokens    what findings mean: pure

Nothing here sends a body, delivers a message or shows a secret. The report is made to be mailed.
"""

from __future__ import annotations

from agent.doctor.examine import Examination, Wish
from agent.doctor.findings import Mark, Report, Step, Verdict
from agent.doctor.notebook import Screen
from agent.doctor.visit import Deadlines

__all__ = ["Deadlines", "Examination", "Mark", "Report", "Screen", "Step", "Verdict", "Wish"]
