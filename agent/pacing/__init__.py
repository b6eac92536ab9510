"""How long to wait, and who goes first. Pure: clock and random numbers are passed in.

backoff    how long a lane waits by itself
gate       every request of a connection passes here: pause, quota, rate, concurrency
door       the way to one origin behind the gate
fair       whose turn it is: job by job, lane by lane
adaptive   how many requests a target is given at once
circuit    one probe instead of a thousand retries while a host is away
rate       at most so many starts a second
hints      what an answer asks for: Retry-After, RateLimit
verdict    what an outcome says about the host
"""

from __future__ import annotations

from agent.pacing.backoff import Random, backoff, probe_after
from agent.pacing.door import Change, Door, DoorState, Turn
from agent.pacing.gate import Block, Gate
from agent.pacing.hints import Headers, Quota, quota_of, retry_after, tells_quota
from agent.pacing.rate import RateLimit
from agent.pacing.verdict import Verdict, verdict_of

__all__ = [
    "Block",
    "Change",
    "Door",
    "DoorState",
    "Gate",
    "Headers",
    "Quota",
    "Random",
    "RateLimit",
    "Turn",
    "Verdict",
    "backoff",
    "probe_after",
    "quota_of",
    "retry_after",
    "tells_quota",
    "verdict_of",
]
