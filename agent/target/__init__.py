"""The target: one HTTP attempt, and what it came to.

attempt     sends once and says what came of it     table   status codes and client errors → outcomes
fetch       one GET, its answer piece by piece  wire    one request on a kept connection
connector   how each connection is made             proxy   through which proxy, and as whom
words       answers as they may be shown        answers what of them is read and kept
deadlines   one timer for all requests          answering who reads answers
"""

from __future__ import annotations

from agent.target.answers import KEEP_LIMIT, READ_LIMIT
from agent.target.attempt import INLINE, Terms, attempt, gunzip, prepared
from agent.target.connector import Client, open_client, renew_tls
from agent.target.fetch import Got, fetch
from agent.target.proxy import Proxies, environment, proxies_of
from agent.target.table import outcome_of, outcome_of_error
from agent.target.wire import Ready
from agent.target.words import printable, shown

__all__ = [
    "INLINE",
    "KEEP_LIMIT",
    "READ_LIMIT",
    "Client",
    "Got",
    "Proxies",
    "Ready",
    "Terms",
    "attempt",
    "environment",
    "fetch",
    "gunzip",
    "open_client",
    "outcome_of",
    "outcome_of_error",
    "prepared",
    "printable",
    "proxies_of",
    "renew_tls",
    "shown",
]
