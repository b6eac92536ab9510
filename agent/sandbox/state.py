"""The sums, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.sandbox.calls import Platform

_SHOWN_KEYS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a sandbox has seen so far."""

    logins: int
    failed_logins: int
    refreshes: int
    failed_refreshes: int
    """Refused refresh tokens: used, expired or unknown."""
    refresh_reuse: int
    """Of those, the ones that had been used before."""
    requests: Mapping[str, Mapping[str, int]]
    """Endpoint → status (or `dropped`: closed before it was processed) → how many."""
    total: int
    """Requests in all, sign-in included."""
    records: Mapping[str, int]
    """Endpoint → records taken in, repeats included unless they are deduplicated."""
    unique_records: Mapping[str, int]
    """Endpoint → records taken in, without requests whose key was seen before."""
    bytes: int
    """Of bodies to targets, as sent."""
    repeats: int
    """Requests whose key had been processed before."""
    repeated_keys: Mapping[str, int]
    """Key → how often it was repeated; the first 1,000 of them."""
    unauthorized: int
    """401s given by targets."""
    devices: int
    faults: int
    """Faults in the list, used up or not."""

    def answered(self, endpoint: str, status: int) -> int:
        """How many requests to this endpoint got this answer."""
        return self.requests.get(endpoint, {}).get(str(status), 0)


def state_of(platform: Platform) -> State:
    """The sums now. Counts the bodies that nobody has counted yet, which may take a while."""
    ledger, issuer = platform.ledger, platform.issuer
    records, unique = ledger.records()
    repeated = [(key, times - 1) for key, times in ledger.keys.items() if times > 1]
    return State(
        logins=issuer.logins,
        failed_logins=issuer.failed_logins,
        refreshes=issuer.refreshes,
        failed_refreshes=issuer.failed_refreshes,
        refresh_reuse=issuer.refresh_reuse,
        requests={name: dict(counts) for name, counts in ledger.answers.items()},
        total=ledger.last,
        records=records,
        unique_records=unique,
        bytes=ledger.bytes,
        repeats=ledger.repeats,
        repeated_keys=dict(repeated[:_SHOWN_KEYS]),
        unauthorized=ledger.unauthorized,
        devices=len(platform.devices),
        faults=len(platform.faults.shown()),
    )
