"""The target: one HTTP attempt, and what it came to.

attempt   sends once and says what came of it     table   status codes and client errors → outcomes
words     answers as they may be shown
"""

from __future__ import annotations

from agent.target.attempt import KEEP_LIMIT, READ_LIMIT, Client, Terms, attempt, open_client
from agent.target.table import outcome_of, outcome_of_error
from agent.target.words import printable, shown

__all__ = [
    "KEEP_LIMIT",
    "READ_LIMIT",
    "Client",
    "Terms",
    "attempt",
    "open_client",
    "outcome_of",
    "outcome_of_error",
    "printable",
    "shown",
]
