"""What can be wrong with a schema, and how it is told."""

from __future__ import annotations

LONGEST = 300
"""Characters of one thing that is wrong with a document."""
MOST = 3
"""Things told of one document."""


class ContractError(ValueError):
    """The schema cannot be used. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def told(problems: list[str]) -> str:
    """One line: the first few things, each cut to what fits."""
    cut = [one if len(one) <= LONGEST else f"{one[:LONGEST]}…" for one in problems[:MOST]]
    return "; ".join(" ".join(one.split()) for one in cut) + ("; …" if len(problems) > MOST else "")
